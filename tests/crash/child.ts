/**
 * `walpost`, which kills itself when it is for the nth time at the point that CRASH_AT names: `<point>@<n>`; at once, or
 * CRASH_AFTER_MS later. Until then it stays at the point, as far as that can wait, and the rest of it goes on.
 */
import { FAILPOINTS, watch } from './failpoints.ts';

const [name, nth] = (process.env['CRASH_AT'] ?? '').split('@');
const point = FAILPOINTS.find((each) => each === name);
if (point === undefined) throw new Error(`CRASH_AT names no point: ${name}`);

const linger = Number(process.env['CRASH_AFTER_MS'] ?? 0);
const die = (): boolean => process.kill(process.pid, 'SIGKILL');
let left = Number(nth);
watch(point, () => {
  left -= 1;
  if (left > 0) return undefined;
  if (linger === 0) die();
  setTimeout(die, linger);
  return new Promise(() => undefined);
});
await import('../../src/main.ts');
