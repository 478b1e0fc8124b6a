/**
 * Where the files of test servers are: in memory, where Linux has room for them. A test makes and drops a database, which is
 * hundreds of files: 35 ms there, and 100 to 330 ms on a disk, more with each one it has made. `WALPOST_TEST_SERVERS=disk` keeps
 * them on the disk.
 */
import { accessSync, constants, statfsSync } from 'node:fs';

const SHARED_MEMORY = '/dev/shm';
/** Of which a run with three processes at once has been seen to use a quarter; a slot that holds WAL may want more. */
const NEEDED_BYTES = 4 * 1024 ** 3;

/** For `startEmbeddedPostgres`. Empty, which is the disk, where there is less: a container has 64 MB unless it is told so. */
export const inMemory: { readonly below?: string } = hasRoom() ? { below: SHARED_MEMORY } : {};

function hasRoom(): boolean {
  if (process.env['WALPOST_TEST_SERVERS'] === 'disk') return false;
  try {
    accessSync(SHARED_MEMORY, constants.W_OK);
    const { bavail, bsize } = statfsSync(SHARED_MEMORY);
    return Math.min(bavail * bsize, process.availableMemory() / 2) >= NEEDED_BYTES;
  } catch {
    return false;
  }
}
