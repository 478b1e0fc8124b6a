/** Toasts and the badge: two listeners of one bus inside of the page. */
import { createEventBus } from '@walpost/consumer/subscribe';

export interface Notice {
  /** Such as `created`. */
  readonly what: string;
}

/** `job` comes from the channel, `toast` from anywhere in the page. */
export const bus = createEventBus<{ job: Notice; toast: string }>();

const GATHER_MS = 400;
const SHOWN_MS = 5_000;

/** Shows each text for some seconds, and the jobs of a burst as one toast. */
export function showToasts(place: HTMLElement): void {
  const gathered = new Map<string, number>();
  bus.on('toast', (text) => {
    const toast = document.createElement('li');
    toast.textContent = text;
    place.append(toast);
    setTimeout(() => toast.remove(), SHOWN_MS);
  });
  bus.on('job', ({ what }) => {
    if (gathered.size === 0) setTimeout(flush, GATHER_MS);
    gathered.set(what, (gathered.get(what) ?? 0) + 1);
  });
  const flush = (): void => {
    for (const [what, count] of gathered) {
      bus.emit('toast', `${count.toLocaleString('en')} ${count === 1 ? 'job' : 'jobs'} ${what}`);
    }
    gathered.clear();
  };
}

/** Counts what was not looked at yet; a click looks. */
export function showBadge(badge: HTMLElement): void {
  let unread = 0;
  const show = (): void => {
    badge.textContent = unread > 999 ? '999+' : String(unread);
    badge.hidden = unread === 0;
  };
  bus.on('job', () => {
    unread += 1;
    show();
  });
  badge.parentElement?.addEventListener('click', () => {
    unread = 0;
    show();
  });
  show();
}
