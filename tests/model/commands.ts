/** What can happen to the pipeline, as fast-check draws and shrinks it. */
import fc from 'fast-check';

/** What a sink does with a batch. */
export const MOODS = [
  'up',
  /** Takes it, and answers after half a second. */
  'slow',
  /** Refuses it: nobody listens, or it answers with an error of its own. */
  'down',
  'broken',
  /** Does not answer until the timeout. */
  'hanging',
  /** Takes it, and the answer is lost. */
  'mute',
  /** Takes the first half, event by event. */
  'half',
  /** Refuses whatever it is sent, as a whole. */
  'refusing',
] as const;
export type Mood = (typeof MOODS)[number];

/** In the order of organizations, of entities, and in none. */
export const SINKS = ['a', 'b', 'c'] as const;
export const ORDERS = { a: 'organization', b: 'entity', c: 'none' } as const;
export const ORGANIZATIONS = ['x', 'y', 'z'] as const;
type SinkName = (typeof SINKS)[number];
type Organization = (typeof ORGANIZATIONS)[number];

export interface PlannedEvent {
  readonly organization: string;
  readonly entity: string | null;
  readonly bytes: number;
  /** The sinks refuse it, or fail at it, whatever the day. */
  readonly poisoned: false | 'refused' | 'crashes';
}

export type Command =
  /** `gap`: bytes of other WAL before its commit record; 0 is back to back. `hiddenFor`: milliseconds until a snapshot sees it. */
  | {
      readonly kind: 'commit';
      readonly events: readonly PlannedEvent[];
      readonly gap: number;
      readonly hiddenFor: number;
    }
  | { readonly kind: 'stream'; readonly steps: number }
  | { readonly kind: 'keepalive' }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'mood'; readonly sink: SinkName; readonly organization: Organization | null; readonly mood: Mood }
  /** How long statements on parked rows take; Infinity is a stall. */
  | { readonly kind: 'lot'; readonly writeMs: number; readonly readMs: number }
  | { readonly kind: 'cursor'; readonly writeMs: number; readonly fails: boolean }
  /** Memory is lost; statements that were under way have reached the server, or not. */
  | { readonly kind: 'crash'; readonly arrived: boolean }
  | { readonly kind: 'reconnect' };

const event: fc.Arbitrary<PlannedEvent> = fc.record({
  organization: fc.constantFrom(...ORGANIZATIONS),
  entity: fc.constantFrom(null, 'p', 'q'),
  bytes: fc.oneof({ weight: 8, arbitrary: fc.constant(100) }, { weight: 1, arbitrary: fc.constant(120_000) }),
  poisoned: fc.oneof(
    { weight: 30, arbitrary: fc.constant(false as const) },
    { weight: 1, arbitrary: fc.constantFrom('refused' as const, 'crashes' as const) },
  ),
});

/** Bad ones in a row, of one organization. */
const badRun: fc.Arbitrary<PlannedEvent[]> = fc
  .record({ organization: fc.constantFrom(...ORGANIZATIONS), length: fc.integer({ min: 2, max: 7 }) })
  .map(({ organization, length }) =>
    Array.from({ length }, () => ({ organization, entity: null, bytes: 100, poisoned: 'refused' })),
  );

const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      events: fc.oneof({ weight: 12, arbitrary: fc.array(event, { maxLength: 8 }) }, { weight: 1, arbitrary: badRun }),
      gap: fc.constantFrom(0, 0, 8, 100),
      hiddenFor: fc.constantFrom(0, 0, 0, 3, 400),
    }),
  },
  {
    weight: 10,
    arbitrary: fc.record({ kind: fc.constant('stream' as const), steps: fc.integer({ min: 1, max: 60 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'keepalive' as const }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      ms: fc.constantFrom(0, 1, 10, 60, 100, 150, 500, 1100, 5000),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('mood' as const),
      sink: fc.constantFrom(...SINKS),
      organization: fc.oneof(fc.constant(null), fc.constantFrom(...ORGANIZATIONS)),
      mood: fc.constantFrom(...MOODS),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('lot' as const),
      writeMs: fc.constantFrom(0, 0, 5, 60, 300, Infinity),
      readMs: fc.constantFrom(0, 0, 5, 60, 300),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('cursor' as const),
      writeMs: fc.constantFrom(0, 5, 300),
      fails: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const), arrived: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'reconnect' as const }) },
);

export const commands = fc.array(command, { maxLength: 60, size: 'max' });
