import { spawn } from 'node:child_process';

/** End of its standard input without a word means that the parent is gone, however it died. */
const SCRIPT = `
read -r word
[ "$word" = done ] && exit 0
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
  kill -QUIT "$pid"
  tries=0
  while kill -0 "$pid" && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
fi
rm -rf "$1"
`;

/**
 * A tiny process of its own session that stops the server of this cluster and removes its files once we are gone, by
 * whatever signal. Call the result when both have been done in the orderly way. Windows has none; the next start
 * removes the files there.
 */
export function watchOver(cluster: string): () => void {
  if (process.platform === 'win32') return () => undefined;
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'walpost-watchdog', cluster], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    cwd: '/',
  });
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return () => child.stdin.end('done\n');
}
