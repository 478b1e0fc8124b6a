/** The lines of the status about lanes that do not go on: paused, refusing, waiting, and what mends their destinations. */
import { destinationRemedy, ENDPOINT_REMEDY, REFUSING_REMEDY } from '../observe/destination-remedy.ts';
import { pauseText, type StatusReport, type WaitingLane } from '../observe/status-report.ts';
import type { Paint, StatusLine } from './status-line.ts';

const BREAKER_OPEN = 'BREAKER_OPEN';
const MOST_PAUSES = 20;
/** Of all that a lane can wait for, what has a time. */
const NEXT_TRY = 'its next try';

/** Of the configuration: sinks where each lane is an endpoint of a customer. */
type EndpointSinks = ReadonlySet<string>;
type Named = Pick<WaitingLane, 'sink' | 'organizationId' | 'lane'>;

export function pausedRows({ paused }: StatusReport, paint: Paint): StatusLine[] {
  const most = (paused ?? []).slice(0, MOST_PAUSES);
  const rows = most.map((pause): StatusLine => [paint.yellow('paused'), `sink ${pause.sink}: ${pauseText(pause)}`]);
  const more = (paused?.length ?? 0) - most.length;
  return more > 0 ? [...rows, ['', `and ${more} more pauses: see \`walpost sinks list\``]] : rows;
}

export function refusingRows({ refusing }: StatusReport, paint: Paint, endpoints: EndpointSinks): StatusLine[] {
  return (refusing ?? []).map((each): StatusLine => {
    const { since, events, eventIds, eventTypes, reason } = each;
    const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
    const what = `${many(events, 'event')} of ${many(eventTypes, 'type')} refused`;
    return [
      paint.red('refusing'),
      `${nameOf(each, endpoints)}: ${what} since ${timeText(since)}, first ${eventIds[0] ?? 'unknown'}: ${reason}`,
    ];
  });
}

export function waitingRows({ waiting }: StatusReport, paint: Paint, endpoints: EndpointSinks): StatusLine[] {
  if (!waiting) return [];
  const rows = waiting.first.map((each): StatusLine => {
    const { since, parked, attempts, reason, nextTryAt, waitsFor } = each;
    const name = nameOf(each, endpoints);
    const next = nextTryAt === null || waitsFor !== NEXT_TRY ? '' : ` (${timeText(nextTryAt)})`;
    const tries = attempts === null ? [] : [`${attempts} failed`];
    const parts = [`${parked} parked`, `since ${timeText(since)}`, ...tries, `waits for ${waitsFor}${next}`];
    return [paint.yellow('waiting'), `${name}: ${parts.join(', ')}${reason === null ? '' : `: ${reason}`}`];
  });
  const more = waiting.total - waiting.first.length;
  if (more > 0) rows.push(['', `and ${more} more lanes that wait`]);
  return [...rows, ...remedyRows(waiting.first, endpoints)];
}

function nameOf({ sink, organizationId, lane }: Named, endpoints: EndpointSinks): string {
  const which = lane === '' ? '' : `, ${endpoints.has(sink) ? 'endpoint' : 'lane'} ${lane}`;
  return `${sink}, organization ${organizationId}${which}`;
}

/** What mends the destinations, once for each sink and cause; a lane behind an open breaker has no cause of its own. */
function remedyRows(lanes: readonly WaitingLane[], endpoints: EndpointSinks): StatusLine[] {
  const failing = lanes.filter(
    ({ code, state }) => code !== BREAKER_OPEN && (state === 'failing' || state === 'refusing'),
  );
  const remedies = new Set(failing.map((lane) => `sink ${lane.sink}: ${remedyOf(lane, endpoints)}`));
  return [...remedies].map((text): StatusLine => ['remedy', text]);
}

function remedyOf(lane: WaitingLane, endpoints: EndpointSinks): string {
  if (lane.state === 'refusing') return REFUSING_REMEDY;
  return endpoints.has(lane.sink) ? ENDPOINT_REMEDY : destinationRemedy(lane.code, lane.sink);
}

/** To the second; every time of the status is in UTC. */
function timeText(time: string): string {
  return `${time.slice(0, 19).replace('T', ' ')} UTC`;
}
