/** Fills and empties a window of objects as a backlog does, and prints how large the young generation became, in MiB. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';
import { boundHeapGrowth } from '../../src/cli/heap-growth.ts';

const youngMiB = (): number =>
  (getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')?.space_size ?? NaN) / 1024 ** 2;

boundHeapGrowth();
const window: unknown[] = [];
let most = 0;
for (let turn = 0; turn < 1_500; turn++) {
  window.push(Array.from({ length: 2_000 }, (_, n) => ({ n, text: `x${n}` })));
  if (window.length > 100) window.shift();
  await nextTurn();
  most = Math.max(most, youngMiB());
}
console.log(Math.round(most));
