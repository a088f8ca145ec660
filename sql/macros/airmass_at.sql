-- Airmass at a true altitude, after Pickering 2002, DIO 12, 20; null below the horizon.
create or replace macro airmass_at(altitude_deg) as
    case
        when altitude_deg > 0 then
            1 / sin(radians(altitude_deg + 244 / (165 + 47 * pow(altitude_deg, 1.1))))
    end;
