// Drawing and sliders of the page of a colour-magnitude diagram; the arithmetic is in cmd_page.js.
const data = JSON.parse(document.getElementById("data").textContent);
const stars = data.stars;
const canvas = document.getElementById("diagram");
const tip = document.getElementById("tip");
const setting = data.setting === null ? null : { ...data.setting };
const SLIDERS = [
  ["distance", "Distance (pc)", 10, 100000, true],
  ["av", "A(V) (mag)", 0, 3, false],
  ["age", "Age (Gyr)", null, null, false],
  ["feh", "[Fe/H]", null, null, false],
  ["colourOffset", "Colour zero", -3, 3, false],
  ["magOffset", "Mag. zero", 0, 40, false],
];
const isCalibrated = data.system !== "instrumental";
const whole = bounds();
let box = { ...whole }, chosen = -1, drag = null;

function finite(values) { return values.filter((value) => value !== null); }
function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))];
}
function bounds() {
  const colours = finite(stars.colour), mags = finite(stars.mag);
  const left = quantile(colours, 0.007), right = quantile(colours, 0.993);
  const room = 0.08 * (right - left) + 0.05;
  return { left: left - room, right: right + room, top: quantile(mags, 0) - 0.4, bottom: quantile(mags, 0.999) + 0.3 };
}
function currentGrid() {
  return data.grids.find((grid) => Math.abs(grid.rotation - setting.rotation) < 1e-9) || data.grids[0];
}
function prepare(target) {
  const scale = window.devicePixelRatio || 1, shape = target.getBoundingClientRect();
  target.width = Math.round(shape.width * scale);
  target.height = Math.round(shape.height * scale);
  const pen = target.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, shape.width, shape.height);
  pen.font = "12px system-ui, sans-serif";
  return { pen, width: shape.width, height: shape.height };
}
function frameOf(shape, region) {
  const edge = { left: 58, right: shape.width - 12, top: 10, bottom: shape.height - 42 };
  return {
    edge,
    x: (value) => edge.left + (value - region.left) / (region.right - region.left) * (edge.right - edge.left),
    y: (value) => edge.top + (value - region.top) / (region.bottom - region.top) * (edge.bottom - edge.top),
    toX: (pixel) => region.left + (pixel - edge.left) / (edge.right - edge.left) * (region.right - region.left),
    toY: (pixel) => region.top + (pixel - edge.top) / (edge.bottom - edge.top) * (region.bottom - region.top),
  };
}
function ticks(low, high, n) {
  const raw = Math.abs(high - low) / n, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((value) => value >= raw);
  const first = Math.ceil(Math.min(low, high) / step), last = Math.floor(Math.max(low, high) / step);
  return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(10)));
}
function axes(shape, place, region, xLabel, yLabel) {
  const { pen } = shape, { edge } = place;
  pen.strokeStyle = "#55595f"; pen.fillStyle = "#22252b"; pen.lineWidth = 0.7;
  pen.strokeRect(edge.left, edge.top, edge.right - edge.left, edge.bottom - edge.top);
  pen.textAlign = "center"; pen.textBaseline = "top";
  for (const value of ticks(region.left, region.right, 6)) {
    pen.beginPath(); pen.moveTo(place.x(value), edge.bottom); pen.lineTo(place.x(value), edge.bottom - 5); pen.stroke();
    pen.fillText(String(value), place.x(value), edge.bottom + 5);
  }
  pen.textAlign = "right"; pen.textBaseline = "middle";
  for (const value of ticks(region.top, region.bottom, 8)) {
    pen.beginPath(); pen.moveTo(edge.left, place.y(value)); pen.lineTo(edge.left + 5, place.y(value)); pen.stroke();
    pen.fillText(String(value), edge.left - 5, place.y(value));
  }
  pen.textAlign = "center"; pen.textBaseline = "bottom";
  pen.fillText(xLabel, (edge.left + edge.right) / 2, shape.height - 4);
  pen.save(); pen.translate(13, (edge.top + edge.bottom) / 2); pen.rotate(-Math.PI / 2);
  pen.textBaseline = "middle"; pen.fillText(yLabel, 0, 0); pen.restore();
}
function clipped(pen, edge, draw) {
  pen.save(); pen.beginPath(); pen.rect(edge.left, edge.top, edge.right - edge.left, edge.bottom - edge.top);
  pen.clip(); draw(); pen.restore();
}
function drawDiagram() {
  const shape = prepare(canvas), place = frameOf(shape, box), { pen } = shape;
  const separations = stars.separation_arcsec ? finite(stars.separation_arcsec) : [];
  const far = separations.length ? quantile(separations, 0.95) : null;
  clipped(pen, place.edge, () => {
    const radius = stars.mag.length > 5000 ? 1.2 : 2.1;
    for (let k = 0; k < stars.mag.length; k += 1) {
      const share = far && stars.separation_arcsec[k] !== null ? Math.min(1, stars.separation_arcsec[k] / far) : 0.6;
      pen.fillStyle = far ? `hsl(${48 + 210 * share}, 62%, ${48 - 12 * share}%)` : "#1d3f5e";
      pen.beginPath(); pen.arc(place.x(stars.colour[k]), place.y(stars.mag[k]), radius, 0, 6.2832); pen.fill();
    }
    if (setting !== null) drawTrack(pen, place);
    if (chosen >= 0) {
      pen.strokeStyle = "#c1442e"; pen.lineWidth = 2; pen.beginPath();
      pen.arc(place.x(stars.colour[chosen]), place.y(stars.mag[chosen]), 7, 0, 6.2832); pen.stroke();
    }
    if (drag !== null && drag.x1 !== undefined) {
      pen.strokeStyle = "#55595f"; pen.lineWidth = 1; pen.strokeRect(drag.x0, drag.y0, drag.x1 - drag.x0, drag.y1 - drag.y0);
    }
  });
  axes(shape, place, box, `${data.colour} (${data.system}, mag)`, `${data.mag} (${data.system}, mag)`);
  canvas.place = place;
}
function drawTrack(pen, place) {
  const track = seenTrack(currentGrid(), data.law, setting);
  if (track === null) return;
  for (const [kept, dash, width] of [[(p) => p.phase <= 2, [], 1.8], [(p) => p.phase > 2 && p.phase <= 5, [2, 3], 1.1]]) {
    pen.strokeStyle = "#c1442e"; pen.lineWidth = width; pen.setLineDash(dash); pen.beginPath();
    let down = false;
    for (const point of track) {
      if (!kept(point)) { down = false; continue; }
      if (down) pen.lineTo(place.x(point.colour), place.y(point.mag));
      else pen.moveTo(place.x(point.colour), place.y(point.mag));
      down = true;
    }
    pen.stroke();
  }
  pen.setLineDash([]);
}
function buildControls() {
  const holder = document.getElementById("controls");
  if (setting === null) { holder.innerHTML = "<h2>No isochrone</h2><p class='soft'>Import some: starmuster import isochrones FILE.</p>"; return; }
  const grid = currentGrid();
  holder.append(Object.assign(document.createElement("h2"), { textContent: `Isochrone: ${grid.name}${grid.isSynthetic ? ", no model of stars" : ""}` }));
  for (const [name, label, low, high, isLog] of SLIDERS) {
    if (name.endsWith("Offset") && isCalibrated) continue;
    const nodes = name === "age" ? grid.ages : name === "feh" ? grid.fehs : null;
    if (nodes !== null && nodes.length < 2) continue;
    addSlider(holder, name, label, nodes ? nodes[0] : low, nodes ? nodes[nodes.length - 1] : high, isLog);
  }
  if (data.grids.length > 1) addRotation(holder);
}
function addSlider(holder, name, label, low, high, isLog) {
  const row = Object.assign(document.createElement("label"), { className: "slider" });
  const range = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 1, step: 0.0005 });
  const number = Object.assign(document.createElement("input"), { type: "number", step: "any" });
  range.setAttribute("aria-label", label); number.setAttribute("aria-label", `${label}, number`); number.name = name;
  const toShare = (value) => isLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const toValue = (share) => isLog ? low * (high / low) ** share : low + share * (high - low);
  const show = () => { range.value = toShare(setting[name]); number.value = Number(setting[name].toPrecision(6)); };
  range.addEventListener("input", () => { setting[name] = Number(toValue(Number(range.value)).toPrecision(6)); show(); update(); });
  number.addEventListener("change", () => {
    const value = Number(number.value);
    if (Number.isFinite(value) && (!isLog || value > 0)) setting[name] = value;
    show(); update();
  });
  row.append(Object.assign(document.createElement("span"), { textContent: label }), range, number);
  holder.append(row); show();
}
function addRotation(holder) {
  const row = Object.assign(document.createElement("label"), { className: "slider" });
  const select = document.createElement("select");
  for (const grid of data.grids) select.append(new Option(String(grid.rotation), grid.rotation, false, grid.rotation === setting.rotation));
  select.addEventListener("change", () => { setting.rotation = Number(select.value); update(); });
  row.append(Object.assign(document.createElement("span"), { textContent: "v/vcrit" }), select);
  holder.append(row);
}
function update() {
  drawDiagram();
  const words = ["starmuster", "cmd", ...data.target, "--colour", data.colour, "--mag", data.mag];
  if (setting !== null) {
    const track = seenTrack(currentGrid(), data.law, setting);
    document.getElementById("state").textContent = track === null
      ? "No isochrone there: outside the grid."
      : `m − M ${distanceModulus(setting.distance).toFixed(3)} mag, ${setting.age.toPrecision(4)} Gyr, [Fe/H] ${setting.feh.toFixed(2)}, extinction ${data.law.name}`;
    words.push("--distance", Number(setting.distance.toFixed(4)), "--av", setting.av, "--age", setting.age, "--feh", setting.feh);
    if (data.grids.length > 1) words.push("--v-vcrit", setting.rotation);
  }
  document.getElementById("command").textContent = words.map((word) => /^[\w.+-]+$/.test(word) ? word : `"${word}"`).join(" ");
}
function nearest(event) {
  const shape = canvas.getBoundingClientRect(), x = event.clientX - shape.left, y = event.clientY - shape.top;
  let best = -1, least = 100;
  for (let k = 0; k < stars.mag.length; k += 1) {
    const off = (canvas.place.x(stars.colour[k]) - x) ** 2 + (canvas.place.y(stars.mag[k]) - y) ** 2;
    if (off < least) { least = off; best = k; }
  }
  return { best, x, y };
}
function nameOf(k) {
  const name = stars.star_name && stars.star_name[k];
  if (name) return name;
  const id = stars.source_id[k];
  return id === null ? `star ${k + 1}` : `source ${id}`;
}
function shown(value, error) { return value.toFixed(3) + (error === null || error === undefined ? "" : ` ± ${error.toFixed(3)}`); }
function describe(k) {
  const lines = [nameOf(k), `${data.mag} ${shown(stars.mag[k], stars.mag_err[k])}`, `${data.colour} ${shown(stars.colour[k], stars.colour_err[k])}`];
  if (stars.n_frame[k]) lines.push(`${stars.n_frame[k]} measurements`);
  if (stars.separation_arcsec && stars.separation_arcsec[k] !== null) lines.push(`${(stars.separation_arcsec[k] / 60).toFixed(2)}′ from the centre`);
  return lines.join("\n");
}
function drawCurve() {
  const shape = prepare(document.getElementById("curve")), about = document.getElementById("about");
  document.getElementById("star").textContent = chosen < 0 ? "Light curve" : `Light curve of ${nameOf(chosen)}`;
  if (chosen < 0) return;
  about.textContent = describe(chosen).split("\n").slice(1).join(", ");
  const points = data.points, id = stars.source_id[chosen], rows = [];
  if (points === null || id === null) { about.textContent += `. No measurements on this page${id === null ? "" : `: starmuster light-curve ${id}`}.`; return; }
  for (let k = 0; k < points.source_id.length; k += 1) if (points.source_id[k] === id) rows.push(k);
  const bands = [...new Set(rows.map((k) => points.band[k]))];
  const middle = Object.fromEntries(bands.map((band) => [band, quantile(rows.filter((k) => points.band[k] === band).map((k) => points.mag[k]), 0.5)]));
  const offs = rows.map((k) => points.mag[k] - middle[points.band[k]]), times = rows.map((k) => points.time[k]);
  const reach = Math.max(0.02, ...offs.map(Math.abs), ...rows.map((k) => points.err[k] || 0)) * 1.3;
  const wide = Math.max(0.01, Math.max(...times) - Math.min(...times));
  const region = { left: Math.min(...times) - 0.05 * wide, right: Math.max(...times) + 0.05 * wide, top: -reach, bottom: reach };
  const place = frameOf(shape, region), { pen } = shape;
  axes(shape, place, region, `JD (UTC) − ${points.zero}`, "mag less median of the band");
  rows.forEach((k, n) => {
    const hue = { g: 140, r: 10, i: 340, z: 280, B: 215, V: 110, R: 5 }[points.band[k]] ?? 215;
    pen.fillStyle = pen.strokeStyle = `hsl(${hue}, 55%, ${points.clean[k] ? 38 : 75}%)`;
    const x = place.x(points.time[k]), y = place.y(offs[n]), half = place.y(points.err[k] || 0) - place.y(0);
    pen.beginPath(); pen.moveTo(x, y - half); pen.lineTo(x, y + half); pen.stroke();
    pen.beginPath(); pen.arc(x, y, 3, 0, 6.2832); pen.fill();
  });
  bands.forEach((band, n) => {
    const hue = { g: 140, r: 10, i: 340, z: 280, B: 215, V: 110, R: 5 }[band] ?? 215;
    pen.fillStyle = `hsl(${hue}, 55%, 38%)`; pen.textAlign = "left"; pen.textBaseline = "top";
    pen.fillText(`${band} ${middle[band].toFixed(3)}`, place.edge.left + 8 + 90 * n, place.edge.top + 5);
  });
}
canvas.addEventListener("pointermove", (event) => {
  const { best, x, y } = nearest(event);
  if (drag !== null) { drag.x1 = x; drag.y1 = y; drawDiagram(); return; }
  tip.hidden = best < 0;
  if (best >= 0) { tip.textContent = describe(best); tip.style.left = `${Math.min(x + 12, canvas.clientWidth - 150)}px`; tip.style.top = `${y + 12}px`; }
});
canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
canvas.addEventListener("pointerdown", (event) => { const { x, y } = nearest(event); drag = { x0: x, y0: y }; });
canvas.addEventListener("pointerup", (event) => {
  const { best, x, y } = nearest(event), from = drag;
  drag = null;
  if (from !== null && Math.abs(x - from.x0) > 8 && Math.abs(y - from.y0) > 8) {
    const to = canvas.place, xs = [to.toX(from.x0), to.toX(x)].sort((a, b) => a - b), ys = [to.toY(from.y0), to.toY(y)].sort((a, b) => a - b);
    box = { left: xs[0], right: xs[1], top: ys[0], bottom: ys[1] };
  } else if (best >= 0) { chosen = best; drawCurve(); }
  drawDiagram();
});
canvas.addEventListener("dblclick", () => { box = { ...whole }; drawDiagram(); });
window.addEventListener("resize", () => { drawDiagram(); drawCurve(); });
for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
  if (name === "star") chosen = stars.source_id.indexOf(Number(value));
  else if (setting !== null && name in setting && Number.isFinite(Number(value))) setting[name] = Number(value);
}
buildControls();
update();
drawCurve();
