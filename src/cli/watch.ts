import { pause, systemClock } from '../clock.ts';
import { EXIT } from './exit-code.ts';

/**
 * Looks and shows again and again, until Ctrl-C, which ends it at once, also while a look is under way. What was shown last is shown
 * anew when the terminal gets another size, where each one `isPage` that fills it: lines are for programs, one for each look.
 */
export async function watch<T>(
  look: () => Promise<T>,
  show: (seen: T) => void,
  { everyMs, isPage }: { everyMs: number; isPage: boolean },
): Promise<void> {
  const first = await look();
  const stop = new AbortController();
  // Before the first output: whoever reads it may end the command at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  let seen = first;
  show(seen);
  if (isPage) process.stdout.on('resize', () => show(seen));
  const stopped = new Promise<undefined>((resolve) => {
    stop.signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  for (;;) {
    await pause(systemClock, everyMs, stop.signal);
    const next = stop.signal.aborted ? undefined : await Promise.race([look(), stopped]);
    if (next === undefined) {
      if (process.stdout.isTTY) process.stdout.write('\n'); // behind the ^C that the terminal shows
      process.exit(EXIT.done); // a server that does not answer would keep it for seconds
    }
    seen = next;
    show(seen);
  }
}
