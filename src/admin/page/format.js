// Writes numbers, sizes and times as people read them.

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

export function duration(seconds) {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  if (minutes > 0) return `${minutes} min`;
  return `${Math.max(0, Math.floor(seconds))} s`;
}

// Returns the time between a time in Unix seconds and now, in milliseconds.
export const since = (time, now) => (typeof time === "number" ? duration(now / 1000 - time) : "");

// Returns a whole number, or nothing for what is none.
export const number = (value) => (typeof value === "number" ? whole.format(value) : "");

export const count = (value) => short.format(value);
export const perSecond = (value) => (typeof value === "number" ? `${short.format(value)}/s` : "–");
export const bytesPerSecond = (value) => (typeof value === "number" ? `${bytes(value)}/s` : "–");
