/** `walpost`, which kills itself when it is for the nth time at the point that CRASH_AT names: `<point>@<n>`. */
import { FAILPOINTS, watch } from './failpoints.ts';

const [name, nth] = (process.env['CRASH_AT'] ?? '').split('@');
const point = FAILPOINTS.find((each) => each === name);
if (point === undefined) throw new Error(`CRASH_AT names no point: ${name}`);

let left = Number(nth);
watch(point, () => {
  left -= 1;
  if (left <= 0) process.kill(process.pid, 'SIGKILL');
});
await import('../../src/main.ts');
