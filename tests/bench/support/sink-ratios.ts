/** What the rounds of `bench:sinks` say of each sink. */
import { median, type RunRecord, ratio } from './report.ts';

export const WALPOST = 'walpost, ';
export const CLIENT = 'its client, ';
/** The same while a bare reader drains the backlog on the same cores. */
export const BESIDE_READER = 'its client beside a reader, ';
/** What the walsender and the stages before the sinks allow. */
export const LIMIT = 'walpost, discard';

/** Least share of the lower limit that a sink has to reach, and most memory of the process in MB (millions of bytes). */
export const ASKED = { ofLimit: 0.7, peakMB: 250 };

/** What follows the name of a sink in the derived figures. */
export const OF_LOWER = `: of the lower limit (${ASKED.ofLimit} asked)`;
export const OF_BOTH = ': of its client beside a reader';
export const PEAK = `: peak MB (below ${ASKED.peakMB} asked)`;

const KEY = 'eventsPerSecond';

/** For each sink: its speed as a share of its client's loop, of a sink that discards, and of the slower of the two; the largest peak. */
export function deriveSinks(records: readonly RunRecord[], names: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    names.flatMap((name): [string, number][] => {
      const [own, client] = [WALPOST + name, CLIENT + name];
      return [
        [`${name}: of its client`, ratio(records, KEY, [own, client])],
        [`${name}: of discard`, ratio(records, KEY, [own, LIMIT])],
        [name + OF_BOTH, ratio(records, KEY, [own, BESIDE_READER + name])],
        [name + OF_LOWER, ofLowerLimit(records, own, client)],
        [name + PEAK, peakMB(records, own)],
      ];
    }),
  );
}

/** The median over the rounds; the limit is that of the same round. */
function ofLowerLimit(records: readonly RunRecord[], own: string, client: string): number {
  const speed = (who: string, round: number): number =>
    records.find((record) => record.name === who && record.round === round)?.figures[KEY] ?? Number.NaN;
  const rounds = [...new Set(records.map(({ round }) => round))];
  return median(rounds.map((round) => speed(own, round) / Math.min(speed(client, round), speed(LIMIT, round))));
}

function peakMB(records: readonly RunRecord[], own: string): number {
  const peaks = records.filter(({ name }) => name === own).map(({ figures }) => figures['peakMiB'] ?? Number.NaN);
  return (Math.max(...peaks) * 2 ** 20) / 1e6;
}
