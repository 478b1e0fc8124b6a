import { Command } from 'commander';
import { WalpostError } from '../errors.ts';

interface DemoFlags {
  readonly duration: string;
  readonly rate: string;
  readonly organizations: string;
  readonly allSinks?: boolean;
  readonly plain?: boolean;
  readonly json?: boolean;
}

/** With a sink of every type, each organization has a stream of the live channel, which is an open file. */
const MOST_LIVE_STREAMS = 200;

/** `walpost demo`: needs no database and no configuration. */
export function demoCommand(): Command {
  return new Command('demo')
    .description('Show walpost at work: a real Postgres, writers, a receiver, and a comparison at the end.')
    .option('--duration <time>', 'how long to write events', '15s')
    .option('--rate <count>', 'committed events a second', '500')
    .option('--organizations <count>', 'how many organizations write', '20')
    .option('--all-sinks', 'a share of the events for a sink of every type, and a comparison for each')
    .option('--plain', 'one line a second instead of the live view')
    .option('--json', 'the comparison as JSON; all else goes to standard error')
    .action(async (flags: DemoFlags) => {
      process.exitCode = await demo(flags);
    });
}

async function demo(flags: DemoFlags): Promise<number> {
  const { parseDuration } = await import('../config/units.ts');
  const durationMs = parseDuration(flags.duration);
  if (durationMs === undefined || durationMs < 100 || durationMs > 86_400_000) {
    throw usage('--duration', flags.duration, 'a time from 100ms to 24h, like 15s or 2m');
  }
  const { runDemo } = await import('../demo/run-demo.ts');
  const stop = new AbortController();
  const abandon = new AbortController();
  const onSignal = (): void => (stop.signal.aborted ? abandon : stop).abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  try {
    return await runDemo({
      durationMs,
      rate: count('--rate', flags.rate, 100_000),
      organizations: count('--organizations', flags.organizations, flags.allSinks ? MOST_LIVE_STREAMS : 10_000),
      allSinks: flags.allSinks === true,
      plain: flags.plain === true || flags.json === true,
      output: flags.json ? process.stderr : process.stdout,
      ...(flags.json && { result: process.stdout }),
      stop: stop.signal,
      abandon: abandon.signal,
    });
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}

function count(flag: string, text: string, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most) throw usage(flag, text, `a whole number from 1 to ${most}`);
  return value;
}

function usage(flag: string, given: string, wanted: string): WalpostError {
  return new WalpostError('USAGE', {
    detail: `${flag} must be ${wanted}; it is ${JSON.stringify(given)}.`,
    remedy: 'See `walpost demo --help`.',
  });
}
