/** For workers of a queue: look whether the state that a job assumes is there, before it is worked on. */
export {
  createGuard,
  type Guard,
  type GuardCheck,
  type GuardOptions,
  type GuardOutcome,
  MissingStateError,
} from './guard.ts';
export { countersText, type GuardCounters } from './guard-counters.ts';
