"""Every error starmuster raises on purpose, drawn as one tree.

    StarmusterError
    ├── UsageError            the command line or an argument is off
    ├── ConfigError           starmuster.toml or a camera profile is off
    ├── WarehouseError        the warehouse folder or its database
    │   ├── NoWarehouseError  there is none in the folder
    │   ├── LockedError       another process holds the database
    │   ├── VersionError      made by a newer starmuster
    │   ├── PackageError      a package of rows is damaged
    │   └── DiskFullError     no room for what must be written
    ├── QueryError            a query that cannot or may not run
    ├── FetchError            a service on the network that did not answer
    ├── FrameError            one file; the night goes on
    │   ├── HeaderError       not an image we can catalogue
    │   ├── PixelError        pixels cannot be read
    │   ├── CalibrationError  masters or calibration
    │   ├── RegistrationError cannot be laid on its field
    │   └── PhotometryError   cannot be measured
    └── AnalysisError         rows are there, the answer is not
        ├── NotFoundError     no such target, star, field, planet
        └── FitError          a fit that did not converge

A message names the subject, what was seen, what was expected and the next step.
"""


class StarmusterError(Exception):
    """Base of all errors that are told to the user without a traceback."""


class UsageError(StarmusterError):
    """The command line or an argument is off."""


class ConfigError(StarmusterError):
    """The configuration is off."""


class WarehouseError(StarmusterError):
    """The warehouse folder or its database cannot be used."""


class NoWarehouseError(WarehouseError):
    """There is no warehouse in the folder."""


class LockedError(WarehouseError):
    """Another process holds the database."""


class VersionError(WarehouseError):
    """The warehouse was made by a newer starmuster."""


class PackageError(WarehouseError):
    """A package of rows is damaged."""


class DiskFullError(WarehouseError):
    """There is no room for what must be written."""


class QueryError(StarmusterError):
    """A query cannot or may not run."""


class FetchError(StarmusterError):
    """A service on the network did not answer, or not with what was asked for."""


class FrameError(StarmusterError):
    """One frame cannot be used; the night goes on."""


class HeaderError(FrameError):
    """The file is not an image that can be catalogued."""


class PixelError(FrameError):
    """The pixels of a frame cannot be read."""


class CalibrationError(FrameError):
    """A master cannot be made or a frame cannot be calibrated."""


class RegistrationError(FrameError):
    """A frame cannot be laid on its field."""


class PhotometryError(FrameError):
    """A frame cannot be measured."""


class AnalysisError(StarmusterError):
    """The rows are there, the answer is not."""


class NotFoundError(AnalysisError):
    """No such target, star, field or planet."""


class FitError(AnalysisError):
    """A fit did not converge."""


def about(subject: str, error: StarmusterError) -> str:
    """Return the message of an error, with its subject in front where it does not name it."""
    return str(error) if subject in str(error) else f"{subject}: {error}"
