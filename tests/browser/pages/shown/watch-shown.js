/** Says when nobody looks at the page any more: calls `changed(false)` when it has been hidden for so many milliseconds, or
 *  at once when the browser puts it away for the way back, and `changed(true)` when it is looked at again. Returns a function
 *  that ends this. */
export function watchShown(changed, hiddenFor = 60_000) {
  let shown = true;
  let timer;
  const set = (now) => {
    clearTimeout(timer);
    if (now === shown) return;
    shown = now;
    changed(now);
  };
  const turned = () => {
    if (document.hidden) timer = setTimeout(set, hiddenFor, false);
    else set(true);
  };
  const left = () => set(false);
  // `persisted`: not a page that is loaded, but one as it was left. Restored in a hidden tab it waits for being looked at.
  const restored = ({ persisted }) => { if (persisted) turned(); };

  document.addEventListener('visibilitychange', turned);
  window.addEventListener('pagehide', left);
  window.addEventListener('pageshow', restored);
  return () => {
    clearTimeout(timer);
    document.removeEventListener('visibilitychange', turned);
    window.removeEventListener('pagehide', left);
    window.removeEventListener('pageshow', restored);
  };
}
