// The arithmetic of the page of a colour-magnitude diagram, without the page: tests run it on its own.
// Isochrones are interpolated as analysis/isochrones.py does it: linearly in log age and [Fe/H] at
// equal evolutionary points.
"use strict";

function around(nodes, value) {
  const near = nodes.findIndex((node) => Math.abs(node - value) <= 1e-6 * Math.max(1, Math.abs(value)));
  if (near >= 0) return [near, near];
  const above = nodes.findIndex((node) => node > value);
  return above <= 0 ? null : [above - 1, above];
}

function weights(nodes, value, scale) {
  const found = around(nodes, value);
  if (found === null) return null;
  const [low, high] = found;
  if (low === high) return [[low, 1]];
  const share = (scale(value) - scale(nodes[low])) / (scale(nodes[high]) - scale(nodes[low]));
  return [[low, 1 - share], [high, share]];
}

// grid: {ages, fehs, eep, phase, curves: {"i,j": {colour, mag}}}; null: outside the grid
function isochroneAt(grid, age, feh) {
  const ages = weights(grid.ages, age, Math.log10);
  const fehs = weights(grid.fehs, feh, (x) => x);
  if (ages === null || fehs === null) return null;
  const points = [];
  for (let k = 0; k < grid.eep.length; k += 1) {
    let colour = 0, mag = 0;
    for (const [i, ageWeight] of ages) {
      for (const [j, fehWeight] of fehs) {
        const curve = grid.curves[`${i},${j}`];
        if (curve === undefined) return null;
        if (curve.mag[k] === null) { colour = NaN; continue; }
        colour += ageWeight * fehWeight * curve.colour[k];
        mag += ageWeight * fehWeight * curve.mag[k];
      }
    }
    if (Number.isFinite(colour)) points.push({ eep: grid.eep[k], phase: grid.phase[k], colour, mag });
  }
  return points;
}

function distanceModulus(distancePc) {
  return 5 * Math.log10(distancePc / 10);
}

// setting: {age, feh, distance, av, colourOffset, magOffset}
function seenTrack(grid, law, setting) {
  const points = isochroneAt(grid, setting.age, setting.feh);
  if (points === null) return null;
  const colour = (law.blue - law.red) * setting.av - setting.colourOffset;
  const mag = distanceModulus(setting.distance) + law.mag * setting.av - setting.magOffset;
  return points.map((point) => ({ ...point, colour: point.colour + colour, mag: point.mag + mag }));
}

if (typeof module !== "undefined") module.exports = { isochroneAt, seenTrack, distanceModulus };
