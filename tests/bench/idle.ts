/**
 * What walpost costs when nothing happens: `npm run bench:idle [-- --seconds 60 --rounds 5]`. Processor time of the
 * process, and every statement it sends, as the server logs them.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { benchOptions } from './support/options.ts';
import { type Contestant, interleave, medians, printTable, writeReport } from './support/report.ts';
import { dropSlot, startBenchServer } from './support/server.ts';
import { WalpostProcess } from './support/walpost-process.ts';

const options = benchOptions({ seconds: 60, rounds: 5, save: 'idle' });
const SETTLE_MS = 5_000;

await using server = await startBenchServer({ log_statement: 'all', log_line_prefix: 'app=%a ' });

function statements(since: number): string[] {
  const log = readFileSync(server.logFile, 'utf8').slice(since);
  return log.split('\n').filter((line) => /^app=walpost LOG: {2}(statement|execute)/.test(line));
}

const idle: Contestant = {
  name: 'walpost, idle',
  async run(round) {
    const slot = `idle_${round}`;
    const sink = { type: 'webhook', url: 'http://127.0.0.1:9/', allow_private: true };
    await using walpost = new WalpostProcess({ url: server.url, slot, sink });
    await walpost.prints(/streaming from/);
    await delay(SETTLE_MS);
    const [since, cpu] = [readFileSync(server.logFile, 'utf8').length, walpost.cpuMs ?? Number.NaN];
    await delay(options.seconds * 1000);
    const used = (walpost.cpuMs ?? Number.NaN) - cpu;
    const sent = statements(since);
    const { peakMiB } = walpost;
    await walpost.stop();
    await dropSlot(server.client, slot);
    return {
      cpuPercent: used / options.seconds / 10,
      statements: sent.length,
      statementsOnOutbox: sent.filter((line) => /\boutbox\b/.test(line)).length,
      peakMiB,
    };
  },
};

const records = await interleave([idle], options.rounds);
printTable(records);
const figures = medians(records)[idle.name] ?? {};
const derived = { 'percent of one core': figures['cpuPercent'] ?? Number.NaN };
writeReport({ name: options.save, settings: options, versions: { postgres: server.version }, records, derived });
