'use strict';
// Draws the plots of a report from the JSON in the page, and sorts its table.
const data = JSON.parse(document.getElementById('data').textContent);
const HEIGHT = 340, LEFT = 62, RIGHT = 14, TOP = 12, BOTTOM = 44;

function add(parent, name, attributes = {}, text = '') {
  const svg = parent.namespaceURI.endsWith('svg') || name === 'svg';
  const made = document.createElementNS(svg ? 'http://www.w3.org/2000/svg' : parent.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'style') made.style.cssText = value;  // an attribute would need 'unsafe-inline'
    else made.setAttribute(key, value);
  }
  if (text !== '') made.textContent = text;
  return parent.appendChild(made);
}

function number(v, digits = 5) {
  if (v === null) return '–';
  const size = Math.abs(v);
  return v && (size >= 1e6 || size < 1e-3) ? v.toExponential(2) : String(Number(v.toPrecision(digits)));
}

function colour(i, n) {
  return n <= 8 ? `var(--c${i})` : `hsl(${Math.round(265 - 225 * i / (n - 1))} 60% 52%)`;
}

// A map from values to pixels, and the values to mark.
function scale(values, from, to, log) {
  const f = log ? Math.log10 : v => v;
  let low = f(Math.min(...values)), high = f(Math.max(...values));
  const margin = (high - low || Math.abs(high) || 1) * 0.05;
  low -= margin; high += margin;
  const at = v => from + (f(v) - low) / (high - low) * (to - from);
  const step = [1, 2, 2.5, 5, 10].map(m => m * 10 ** Math.floor(Math.log10((high - low) / 4)))
    .find(s => (high - low) / s <= 6);
  let ticks = [];
  if (log && high - low > 1) {
    for (let e = Math.ceil(low); e <= high; e++) ticks.push(10 ** e);
  } else {
    for (let t = Math.ceil(low / step) * step; t <= high; t += step) ticks.push(log ? 10 ** t : t);
  }
  return { at, ticks: ticks.map(t => Number(t.toPrecision(3 + (log ? 0 : 9)))) };
}

// Axes in a fresh drawing as wide as its place.
function axes(place, xs, ys, { xName, yName, xLog, yLog, xTicks }) {
  place.querySelector('svg')?.remove();
  const width = Math.max(place.clientWidth, 260);
  const svg = add(place, 'svg', { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: 'img' });
  const x = scale(xs, LEFT, width - RIGHT, xLog), y = scale(ys, HEIGHT - BOTTOM, TOP, yLog);
  for (const t of y.ticks) {
    add(svg, 'line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y.at(t), y2: y.at(t) });
    add(svg, 'text', { x: LEFT - 8, y: y.at(t) + 4, 'text-anchor': 'end' }, number(t));
  }
  let last = -Infinity;
  for (const [t, label] of xTicks ?? x.ticks.map(t => [t, number(t)])) {
    if (x.at(t) - last < 7 * label.length + 6) continue;
    last = x.at(t);
    add(svg, 'line', { class: 'grid', x1: last, x2: last, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 5 });
    add(svg, 'text', { x: last, y: HEIGHT - BOTTOM + 19, 'text-anchor': 'middle' }, label);
  }
  add(svg, 'text', { x: (LEFT + width - RIGHT) / 2, y: HEIGHT - 6, 'text-anchor': 'middle' }, xName);
  svg.setAttribute('aria-label', `${yName} by ${xName}`);
  return { svg, x: x.at, y: y.at, width };
}

// Shows lines of [colour or null, text] beside a point.
function tip(place, left, top, lines) {
  place.querySelector('.tip')?.remove();
  if (!lines) return;
  const box = add(place, 'div', { class: 'tip' });
  for (const [paint, text] of lines) {
    const row = add(box, 'div');
    if (paint) add(row, 'span', { class: 'dot', style: `background:${paint}` });
    add(row, 'span', {}, text);
  }
  const right = left + 14 + box.offsetWidth > place.clientWidth;
  box.style.left = `${Math.max(0, right ? left - 14 - box.offsetWidth : left + 14)}px`;
  box.style.top = `${Math.max(0, Math.min(top - 20, HEIGHT - box.offsetHeight))}px`;
}

function drawValues(place) {
  const metric = place.dataset.metric, { log, lines } = data.values[metric], axis = data.axis;
  const points = lines.flatMap(line => line.points.map(p => ({ ...p, line })));
  if (!points.length) { place.textContent = 'No complete trial has this figure yet.'; return; }
  const spread = axis.numeric ? axis.numbers : [-0.4, axis.numbers.length - 0.6];
  const ys = points.flatMap(p => [p.mean, p.low, p.high, ...p.seeds.map(s => s[1])])
    .filter(v => v !== null && !(log && v <= 0));  // an interval may reach below 0
  const least = Math.min(...ys);
  const few = axis.log || !axis.numeric || axis.numbers.length <= 8;
  const { svg, x, y } = axes(place, spread, ys, {
    xName: axis.name, yName: metric, xLog: axis.log, yLog: log,
    xTicks: few ? axis.numbers.map((v, i) => [v, axis.labels[i]]) : undefined,
  });
  const shift = line => (lines.indexOf(line) - (lines.length - 1) / 2) * Math.min(7, 40 / lines.length);
  for (const line of lines) {
    const paint = colour(data.colours.indexOf(line.colour), data.colours.length);
    const left = p => x(p.x) + shift(line);
    if (axis.numeric) {
      const path = line.points.map(p => `${left(p)},${y(p.mean)}`).join(' ');
      add(svg, 'polyline', { points: path, fill: 'none', stroke: paint, 'stroke-width': 1.5, opacity: 0.55 });
    }
    for (const p of line.points) {
      for (const [, v] of p.seeds) add(svg, 'circle', { cx: left(p) + 7, cy: y(v), r: 2.4, fill: paint, opacity: 0.55 });
      if (p.low !== null) {
        add(svg, 'line', { x1: left(p), x2: left(p), y1: y(Math.max(p.low, least)), y2: y(p.high), stroke: paint, 'stroke-width': 2.5 });
      }
      add(svg, 'circle', { cx: left(p), cy: y(p.mean), r: 4.5, fill: paint });
    }
  }
  place.onpointermove = place.onpointerdown = event => {
    const box = svg.getBoundingClientRect(), mx = event.clientX - box.left, my = event.clientY - box.top;
    const distance = p => Math.hypot(x(p.x) + shift(p.line) - mx, y(p.mean) - my);
    const p = points.reduce((a, b) => distance(a) <= distance(b) ? a : b);
    if (distance(p) > 60) return tip(place);
    const paint = colour(data.colours.indexOf(p.line.colour), data.colours.length);
    const range = p.low === null ? '' : `  [${number(p.low)}, ${number(p.high)}]`;
    tip(place, x(p.x), y(p.mean), [
      [paint, p.label], [null, `${number(p.mean)}${range}  n=${p.n}`],
      ...p.seeds.slice(0, 10).map(([seed, v]) => [null, `seed ${seed}: ${number(v)}`]),
    ]);
  };
  place.onpointerleave = () => tip(place);
}

function polyline(steps, values, x, y) {
  let path = '', pen = 'M';
  steps.forEach((s, i) => {
    const v = values[i];
    if (v === null || !Number.isFinite(y(v))) pen = 'M';
    else { path += `${pen}${x(s).toFixed(1)},${y(v).toFixed(1)}`; pen = 'L'; }
  });
  return path;
}

function drawCurves(place, hidden) {
  const name = document.getElementById('curve').value, groups = data.curves[name];
  const log = document.getElementById('log').checked, single = document.getElementById('single').checked;
  const shown = groups.map((g, i) => ({ ...g, paint: colour(i, groups.length), steps: data.grids[g.grid] }))
    .filter((g, i) => !hidden.has(i));
  const trials = shown.flatMap(g => g.trials.filter(t => single || !t.complete).map(t => ({ ...t, g })));
  const xs = [], ys = [];
  for (const g of shown) g.mean.forEach((m, i) => { xs.push(g.steps[i]); ys.push(m - g.stderr[i], m + g.stderr[i]); });
  for (const t of trials) t.values.forEach((v, i) => { if (v !== null) { xs.push(data.grids[t.grid][i]); ys.push(v); } });
  const usable = log ? ys.filter(v => v > 0) : ys;
  tip(place);
  place.querySelector('svg')?.remove();
  if (!usable.length) return;
  const { svg, x, y } = axes(place, [xs.reduce((a, b) => Math.min(a, b)), xs.reduce((a, b) => Math.max(a, b))],
    [usable.reduce((a, b) => Math.min(a, b)), usable.reduce((a, b) => Math.max(a, b))],
    { xName: 'step', yName: name, xLog: false, yLog: log });
  for (const t of trials) {
    add(svg, 'path', {
      d: polyline(data.grids[t.grid], t.values, x, y), fill: 'none', stroke: t.g.paint, opacity: 0.5,
      'stroke-width': 1, ...(t.complete ? {} : { 'stroke-dasharray': '2 3' }),
    });
    if (t.values.length === 1 && t.values[0] !== null && Number.isFinite(y(t.values[0]))) {
      add(svg, 'circle', { cx: x(data.grids[t.grid][0]), cy: y(t.values[0]), r: 2.5, fill: t.g.paint });
    }
  }
  for (const g of shown.filter(g => g.mean.length)) {
    const low = g.mean.map((m, i) => log && m <= g.stderr[i] ? m : m - g.stderr[i]);
    const high = g.mean.map((m, i) => m + g.stderr[i]);
    const back = polyline([...g.steps].reverse(), low.reverse(), x, y).replace('M', 'L');
    add(svg, 'path', { d: `${polyline(g.steps, high, x, y)}${back}Z`, fill: g.paint, opacity: 0.18 });
    add(svg, 'path', { d: polyline(g.steps, g.mean, x, y), fill: 'none', stroke: g.paint, 'stroke-width': 2 });
    if (g.mean.length === 1) add(svg, 'circle', { cx: x(g.steps[0]), cy: y(g.mean[0]), r: 4, fill: g.paint });
  }
  const cursor = add(svg, 'line', { class: 'cursor', y1: TOP, y2: HEIGHT - BOTTOM, visibility: 'hidden' });
  place.onpointermove = place.onpointerdown = event => {
    const box = svg.getBoundingClientRect(), mx = event.clientX - box.left, my = event.clientY - box.top;
    const near = steps => steps.reduce((a, b) => Math.abs(x(a) - mx) <= Math.abs(x(b) - mx) ? a : b);
    const all = shown.flatMap(g => g.mean.length ? [near(g.steps)] : []);
    if (!all.length) return;
    const step = near(all);
    const found = shown.flatMap(g => {
      const i = g.steps.indexOf(step);
      return i < 0 ? [] : [{ g, mean: g.mean[i], stderr: g.stderr[i] }];
    });
    found.sort((a, b) => Math.abs(y(a.mean) - my) - Math.abs(y(b.mean) - my));
    const lines = found.slice(0, 10).sort((a, b) => b.mean - a.mean).map(f => [
      f.g.paint, `${f.g.label} ${number(f.mean)}${f.g.n > 1 ? ` ± ${number(f.stderr, 2)}` : ''}  n=${f.g.n}`,
    ]);
    cursor.setAttribute('x1', x(step)); cursor.setAttribute('x2', x(step));
    cursor.setAttribute('visibility', 'visible');
    tip(place, x(step), my, [[null, `step ${step.toLocaleString('en')}`], ...lines]);
  };
  place.onpointerleave = () => { tip(place); cursor.setAttribute('visibility', 'hidden'); };
}

function legendOfCurves(hidden, draw) {
  const legend = document.getElementById('groups'), labels = data.labels;
  if (labels.length < 2) return;
  labels.forEach((label, i) => {
    const button = add(legend, 'button', { type: 'button', 'aria-pressed': true });
    add(button, 'span', { class: 'dot', style: `background:${colour(i, labels.length)}` });
    add(button, 'span', {}, label);
    button.onclick = () => {
      button.setAttribute('aria-pressed', hidden.has(i));
      hidden.has(i) ? hidden.delete(i) : hidden.add(i);
      draw();
    };
  });
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => head.addEventListener('click', () => {
    const up = head.getAttribute('aria-sort') !== 'ascending';
    heads.forEach(h => h.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    const key = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const order = new Intl.Collator('en', { numeric: true }).compare;
    const compare = (a, b) => Number.isNaN(a - b) ? order(a, b) : a - b;
    const rows = [...body.rows].sort((a, b) => {
      const [p, q] = [key(a), key(b)];
      if (p === '–' || q === '–') return (p === '–') - (q === '–');  // what is missing stays last
      return up ? compare(p, q) : compare(q, p);
    });
    body.append(...rows);
  }));
}

const hidden = new Set(), curves = document.getElementById('curves');
const drawAll = () => {
  document.querySelectorAll('.chart[data-metric]').forEach(drawValues);
  if (curves) drawCurves(curves, hidden);
};
document.querySelectorAll('.legend[data-lines]').forEach(legend => data.colours.forEach((label, i) => {
  if (!label) return;
  const entry = add(legend, 'span');
  add(entry, 'span', { class: 'dot', style: `background:${colour(i, data.colours.length)}` });
  add(entry, 'span', {}, label);
}));
if (curves) {
  legendOfCurves(hidden, drawAll);
  for (const id of ['curve', 'log', 'single']) document.getElementById(id).onchange = drawAll;
}
document.querySelectorAll('table.sortable').forEach(sortable);
let width = 0;
const fit = () => {
  const now = document.querySelector('main').clientWidth;
  if (now !== width) { width = now; drawAll(); }
};
fit();
new ResizeObserver(() => requestAnimationFrame(fit)).observe(document.querySelector('main'));
