/**
 * The test files that start a server and cannot depend on the version of Node. `.ci/run` leaves them out of its run on a
 * second version (`WALPOST_TESTS=node`), because they take most of the time of the suite.
 *
 * What remains is what a version of Node can change: sockets, TLS, streams, fetch, timers, signals, the command line, all
 * unit tests, and the whole relay from the slot to a receiver. A new test runs on both versions until it is named here.
 */
import { join } from 'node:path';
import { sourceFiles } from './import-graph.ts';

const TESTS = join(import.meta.dirname, '..');

export const INDEPENDENT_OF_NODE: readonly RegExp[] = [
  // Postgres does the work: functions, views, rights, migrations, locks and rows.
  /^(sql|postgres|leader|parking|jobs)\//,
  // Kills at named points and the model test the order of writes to Postgres, for minutes.
  /^(crash|model)\//,
  // What the relay decides from the state of the slot, of the source table and of parked rows.
  /^relay\/(recovery\/|failover|healing|hostile|messages|new-slot|notifications|parking-fails|restore)/,
  /^relay\/(row-filter|source-watch|table-|unstorable|wal2json|whose-fault)/,
  // The Node of the image does the work.
  /^(container)\//,
  // Checks of the server's settings and of the source table.
  /^slot\/(pooler|server-checks|slot-obstacles|slot-setup|slot-versions|source-|synchronous-standby)/,
  // Faults that are planted in a database, and what the server says of them. command, probe and settings remain.
  /^doctor\/(faults)\./,
  // Commands that are a query each. program, run and terminal remain for the command line.
  /^cli\/(endpoints|events|job-counts|mend|replay)\./,
  // The same commands and a whole relay, scene by scene, for minutes.
  /^situations\/(situations)\./,
  // all-in-order, odd-payloads, no-secrets and stop remain as whole relays.
  /^e2e\/(echoes|emit|idle|isolation|long-messages|lsn-boundary|outage|refusals|replay|visible)\./,
];

/** As paths from the root. */
export function testsIndependentOfNode(): string[] {
  return testFiles()
    .filter((file) => INDEPENDENT_OF_NODE.some((pattern) => pattern.test(file)))
    .map(fromRoot);
}

/** As paths from `tests`. */
export function testFiles(): string[] {
  return sourceFiles(TESTS).filter((file) => file.endsWith('.test.ts'));
}

const fromRoot = (file: string): string => `tests/${file}`;
