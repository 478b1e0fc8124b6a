/** Where an event is now: at each sink, and where a sink has endpoints of customers, at each of them. */
import type { EventStory } from '../parking/event-story.ts';

interface Place {
  /**
   * delivered (as the log says), settled (as a checkpoint proves), missed (by an endpoint that was disabled), parked, dead,
   * failing, pending, unknown, or none where no endpoint asked for it.
   */
  readonly state: string;
  readonly at: string | null;
  /** Of a dead letter. */
  readonly letter: string | null;
}

interface LanePlace extends Place {
  readonly lane: string;
}

export interface EventPlace extends Place {
  readonly sink: string;
  /** The endpoints of customers; where they differ, the sink stands as the most pressing one. */
  readonly lanes: readonly LanePlace[];
}

/** The most pressing first. */
const URGENCY = ['dead', 'parked', 'failing', 'missed', 'unknown', 'pending', 'settled', 'delivered'];
const NO_SINK = '(none)';

interface Story extends Pick<EventStory, 'steps' | 'settled'> {
  /** The endpoints that lack events of its time. */
  readonly missed?: ReadonlySet<string>;
}

/**
 * `asked`: by sink with endpoints, those that the event was for, also where nothing is known of them; null where that cannot be
 * known. At other sinks an event has one lane at a time.
 */
export function placesOf(
  { steps, settled, missed }: Story,
  routed: readonly string[],
  asked: ReadonlyMap<string, readonly string[] | null> = new Map(),
): EventPlace[] {
  const here = steps.filter(({ sink, step }) => sink !== null || step === 'dead');
  const tested = [...asked].flatMap(([sink, ids]) => (ids?.length ? [sink] : []));
  const sinks = new Set([...routed, ...tested, ...here.map(({ sink }) => sink ?? NO_SINK)]);
  return [...sinks].map((sink) => {
    const own = here.filter((step) => (step.sink ?? NO_SINK) === sink);
    const endpoints = asked.get(sink);
    if (endpoints === undefined) return { sink, ...placeOf(own, settled), lanes: [] };
    const names = new Set([...own.map(({ lane }) => lane ?? ''), ...(endpoints ?? [])]);
    const placeAt = (name: string): Place => {
      const place = placeOf(
        own.filter(({ lane }) => (lane ?? '') === name),
        settled,
      );
      return place.state === 'settled' && missed?.has(name) ? { ...place, state: 'missed' } : place;
    };
    const lanes = [...names].map((lane) => ({ lane, ...placeAt(lane) }));
    const [first] = lanes.toSorted((one, other) => URGENCY.indexOf(one.state) - URGENCY.indexOf(other.state));
    const { state, at, letter } = first ?? (endpoints ? NOBODY : placeOf([], settled));
    return { sink, state, at, letter, lanes };
  });
}

const NOBODY: Place = { state: 'none', at: null, letter: null };

/** What is stored comes first: it is there now. Then what the log says last, and what a checkpoint proves. */
function placeOf(own: EventStory['steps'], settled: boolean | null): Place {
  const stored = own.findLast(({ step }) => step === 'dead') ?? own.findLast(({ step }) => step === 'parked');
  const last = stored ?? own.findLast(({ step }) => step === 'delivered');
  if (last) return { state: last.step, at: last.at, letter: last.letter };
  // Usually only failures are logged. What is proven and stored nowhere has gone out since.
  const tried = own.at(-1);
  const state = settled ? 'settled' : tried ? 'failing' : settled === null ? 'unknown' : 'pending';
  return { state, at: state === 'failing' ? (tried?.at ?? null) : null, letter: null };
}

/** A row for each endpoint, else one for the sink. */
export function placeRows(places: readonly EventPlace[]): [string, string][] {
  return places.flatMap(({ sink, lanes, ...place }): [string, string][] => {
    const name = `sink ${sink}`;
    if (lanes.length === 0) return [[name, placeText(place)]];
    return lanes.map(({ lane, ...own }) => [name, `endpoint ${lane}: ${placeText(own)}`]);
  });
}

const STATES: Readonly<Record<string, string>> = {
  settled: 'settled: a checkpoint proves that it left, and it is stored nowhere',
  missed:
    'missed: the endpoint lacks events of this time, this one too unless it was sent before; walpost endpoints recover sends them',
  pending: 'pending: not tried yet',
  unknown: 'unknown: no attempt is in the log',
  failing: 'failing: its last attempt was not accepted',
  none: 'for nobody: no endpoint of the organization asked for it when it was created; a disabled one gets nothing',
};

function placeText({ state, at, letter }: Place): string {
  const since = at === null ? '' : ` since ${moment(at)} UTC`;
  return `${STATES[state] ?? state}${letter === null ? '' : ` (dead letter ${letter})`}${since}`;
}

/** For a person, to the millisecond, in UTC. */
export function moment(at: string | null): string {
  return (at ?? 'unknown').slice(0, 23).replace('T', ' ');
}
