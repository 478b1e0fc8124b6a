import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/**
 * How much the old generation may grow over what survived its last collection before it is collected again.
 *
 * Left alone, V8 lets it grow up to four times while there is memory on the machine: with the default budget full, some
 * 100 MB of live heap became 340 MB of resident memory. The price is paid while there is a backlog, a fifth more of the
 * processor; and unlike a limit (--max-old-space-size) it cannot end the process when a large row comes along.
 */
const GROWTH_PERCENT = 60;

/**
 * Where the young generation stops growing, both of its halves together. Left alone it would at 32 MiB and a third half for
 * large objects with Node 20, at 128 MiB with Node 24. A backlog fills it whatever its size, so this is memory saved (25 MiB
 * of 165), for a tenth more of the processor when windows are long against it. Its own limit (--max-semi-space-size) can only
 * be set before the process starts; the factor by which it grows is read each time. With Node 24 it still becomes two to five
 * times as large as this, whatever the factor says, so the container sets the limit too.
 */
const YOUNG_BYTES = 16 * 1024 ** 2;

export function boundHeapGrowth(): void {
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
  let growing: boolean | undefined;
  const decide = (): void => {
    const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
    const mayGrow = young !== undefined && young.space_size * 2 <= YOUNG_BYTES; // it shrinks while little goes on
    if (mayGrow !== growing) setFlagsFromString(`--semi-space-growth-factor=${mayGrow ? 2 : 1}`);
    growing = mayGrow;
  };
  decide();
  new PerformanceObserver(decide).observe({ entryTypes: ['gc'] });
}
