// Draws what the dashboard's panels show, as an SVG, from a Prometheus: for documentation, where there is no Grafana.
//
//   node picture.mjs http://127.0.0.1:9090 10m > dashboard.svg
//
// Titles, places and queries are the dashboard's own; the numbers are what Prometheus answers for the time before now.

import { readFileSync } from 'node:fs';

const [url = 'http://127.0.0.1:9090', span = '10m'] = process.argv.slice(2);
const dashboard = JSON.parse(readFileSync(new URL('rillgate.json', import.meta.url), 'utf8'));
const [COLUMN, LINE, HEAD] = [50, 19, 44];
const colours = ['#3274d9', '#e0752d', '#56a64b', '#e02f44', '#8f3bb8', '#1f9e89', '#b5a000', '#7b7b7b'];

const seconds = Number.parseInt(span, 10) * { s: 1, m: 60, h: 3600 }[span.slice(-1)];
const end = Math.floor(Date.now() / 1000);
const start = end - seconds;
const step = Math.max(1, Math.round(seconds / 90));
const rateWindow = `${Math.max(15, step * 4)}s`;

const escape = (text) => String(text).replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
const fill = (query) =>
  query.replaceAll('$__rate_interval', rateWindow).replaceAll('$__range', span).replace(/\$(job|instance|route)/g, '.*');

async function ask(query) {
  const parameters = new URLSearchParams({ query: fill(query), start, end, step });
  const answer = await (await fetch(`${url}/api/v1/query_range?${parameters}`)).json();
  if (answer.status !== 'success') throw new Error(`${query}: ${answer.error}`);
  return answer.data.result;
}

function short(value, unit) {
  if (!Number.isFinite(value)) return '–';
  if (unit === 'percentunit') return `${(value * 100).toPrecision(value < 0.01 ? 1 : 3)} %`;
  if (unit === 's' && value >= 86400) return `${Math.floor(value / 86400)} d`;
  if (unit === 's') return value < 1 ? `${Number((value * 1000).toPrecision(2))} ms` : `${Number(value.toPrecision(2))} s`;
  const base = unit === 'bytes' || unit === 'Bps' ? 1024 : 1000;
  let power = 0;
  for (; value >= base && power < 4; power += 1) value /= base;
  const suffix = { bytes: 'B', Bps: 'B/s', cps: '/s', reqps: '/s' }[unit] ?? '';
  return `${Number(value.toPrecision(3))} ${['', 'k', 'M', 'G', 'T'][power]}${suffix}`.trim();
}

const name = (legend, metric) =>
  legend ? legend.replace(/\{\{(\w+)\}\}/g, (_, label) => (label === 'name' ? (metric.name ?? '').split('/').pop() : metric[label] ?? ''))
    : Object.values(metric).join(' ');

async function series(panel) {
  const found = [];
  for (const target of panel.targets) {
    for (const { metric, values } of await ask(target.expr)) {
      found.push({ label: name(target.legendFormat, metric), points: values.map(([time, value]) => [time, Number(value)]) });
    }
  }
  // What was never there is drawn, and named last.
  const isThere = ({ points }) => points.some(([, value]) => value > 0);
  return [...found.filter(isThere), ...found.filter((one) => !isThere(one))];
}

const last = ({ points }) => points[points.length - 1][1];
const text = (x, y, content, size = 11, colour = '#444') =>
  `<text x="${x}" y="${y}" font-size="${size}" fill="${colour}">${escape(content)}</text>`;

function graph(found, unit, stacked, [width, height]) {
  const [left, top, bottom] = [52, 26, 32];
  const base = new Map();
  const lines = found.map(({ label, points }) => ({
    label,
    points: points.filter(([, value]) => Number.isFinite(value)).map(([time, value]) => {
      const sum = (stacked ? base.get(time) ?? 0 : 0) + value;
      base.set(time, sum);
      return [time, sum];
    }),
  }));
  const most = Math.max(0, ...lines.flatMap(({ points }) => points.map(([, value]) => value))) || 1;
  const x = (time) => Math.round((left + ((time - start) / seconds) * (width - left - 10)) * 10) / 10;
  const y = (value) => Math.round((height - bottom - (value / most) * (height - top - bottom - 6)) * 10) / 10;
  const parts = [0, 0.5, 1].map((share) => {
    const at = y(most * share);
    return `<path d="M${left} ${at}H${width - 10}" stroke="#e4e4e4"/>${text(6, at + 4, short(most * share, unit), 10, '#777')}`;
  });
  let at = left;
  lines.forEach(({ label, points }, index) => {
    const colour = colours[index % colours.length];
    parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="1.4" points="${points.map(([t, v]) => `${x(t)},${y(v)}`).join(' ')}"/>`);
    if (at + label.length * 6 + 18 < width) {
      parts.push(`<path d="M${at} ${height - 12}h9" stroke="${colour}" stroke-width="3"/>${text(at + 13, height - 8, label, 10)}`);
    }
    at += label.length * 6 + 24;
  });
  return parts.join('');
}

function cells(found, unit, size) {
  return found.slice(0, 7).map((one, index) => {
    if (found.length === 1) return text(16, size[1] / 2 + 20, short(last(one), unit), 30, '#222');
    return text(14, 46 + index * 17, one.label) + text(size[0] - 70, 46 + index * 17, short(last(one), unit), 11, '#111');
  }).join('');
}

function buckets(found, [width, height]) {
  const rows = found.filter(({ label }) => label !== '+Inf').sort((one, other) => Number(one.label) - Number(other.label));
  const shares = rows.map(({ points }, index) => last({ points }) - (index > 0 ? last(rows[index - 1]) : 0));
  const most = Math.max(1e-9, ...shares);
  const line = (height - 42) / rows.length;
  return rows.map(({ label }, index) => {
    const y = height - 12 - (index + 1) * line;
    const wide = Math.max(0, (shares[index] / most) * (width - 150));
    return `<rect x="70" y="${y + 1}" width="${wide}" height="${line - 2}" fill="#e0752d"/>` +
      text(8, y + line - 1, `≤ ${short(Number(label), 's')}`, 9) + text(76 + wide, y + line - 1, short(shares[index], ''), 9);
  }).join('');
}

const drawn = [];
let lowest = 0;
for (const panel of dashboard.panels) {
  const { x, y, w, h } = panel.gridPos;
  const size = [w * COLUMN - 8, h * LINE - 8];
  lowest = Math.max(lowest, HEAD + (y + h) * LINE);
  let inside = '';
  if (panel.type === 'row') {
    inside = text(2, 14, panel.title, 14, '#111');
  } else {
    const found = await series(panel);
    const { unit, custom } = panel.fieldConfig.defaults;
    const body = found.length === 0 ? text(14, 50, 'no data: there was none of it', 11, '#777')
      : panel.type === 'timeseries' ? graph(found, unit, custom.stacking.mode === 'normal', size)
        : panel.type === 'heatmap' ? buckets(found, size) : cells(found, unit, size);
    inside = `<rect width="${size[0]}" height="${size[1]}" rx="4" fill="#fff" stroke="#d8d8d8"/>${text(10, 18, panel.title, 12, '#111')}${body}`;
  }
  drawn.push(`<g transform="translate(${x * COLUMN + 6} ${y * LINE + HEAD})">${inside}</g>`);
}
const note = `Queries of deploy/grafana/rillgate.json, answered by Prometheus for ${span} of a test run. Drawn by picture.mjs: not a screenshot of Grafana.`;
console.log(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${24 * COLUMN + 6} ${lowest}" font-family="sans-serif">
<rect width="100%" height="100%" fill="#f5f5f5"/>${text(8, 18, 'rillgate', 15, '#111')}${text(8, 36, note, 11, '#666')}
${drawn.join('\n')}
</svg>`);
