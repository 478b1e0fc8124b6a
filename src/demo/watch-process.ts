import { type ChildProcess, spawn } from 'node:child_process';

/** When its standard input ends without a message, the demo was killed. The child then ends too; it has nothing to save. */
const WATCHDOG = 'read -r word; [ "$word" = done ] || { kill -KILL "-$1"; rm -rf "$2"; }';

/**
 * A small process that outlives this one, and kills the child's process group and removes its directory when this one was
 * killed. The child is detached, so it leads a group of its own. Call the result after an orderly stop.
 */
export function watchProcess(child: ChildProcess, directory: string): () => void {
  if (process.platform === 'win32' || child.pid === undefined) return () => undefined;
  const watchdog = spawn('/bin/sh', ['-c', WATCHDOG, 'walpost-watchdog', String(child.pid), directory], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
  });
  watchdog.on('error', () => undefined);
  watchdog.stdin.on('error', () => undefined);
  watchdog.unref();
  return () => watchdog.stdin.end('done\n');
}
