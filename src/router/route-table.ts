import type { RouteConfig } from '../config/schema.ts';
import type { Event } from '../event.ts';
import { compilePattern } from './pattern.ts';

type Match = RouteConfig['match'];

/** The fields that a route may match, with how an event answers each. */
const FIELDS = {
  topic: (event: Event) => event.topic,
  event_type: (event: Event) => event.eventType,
  target: (event: Event) => event.target,
  entity_type: (event: Event) => event.entityType,
  organization_id: (event: Event) => event.organizationId,
} satisfies Record<keyof Match, (event: Event) => string | null>;

interface Route {
  readonly matches: (event: Event) => boolean;
  readonly to: readonly number[];
}

/** Answers are remembered for this many combinations of fields; then the memory starts afresh. */
const REMEMBERED = 10_000;

/**
 * Which sinks an event goes to: the union of all routes that match, each sink once, in the order of the sinks.
 *
 * Patterns are matched once for each combination of the fields that any route looks at; the same answer, the same
 * array, serves all later events of that combination.
 */
export class RouteTable {
  private readonly routes: readonly Route[];
  private readonly keyFields: readonly ((event: Event) => string | null)[];
  private answers = new Map<string, readonly number[]>();
  private lastKey = '';
  private lastAnswer: readonly number[] | undefined;

  constructor(routes: readonly RouteConfig[], sinkNames: readonly string[]) {
    this.routes = routes.map((route) => ({
      matches: compileMatch(route.match),
      to: route.to.map((name) => indexOfSink(sinkNames, name)),
    }));
    const used = new Set(routes.flatMap((route) => Object.keys(route.match) as (keyof Match)[]));
    this.keyFields = [...used].map((field) => FIELDS[field]);
  }

  /** Indexes into the sinks; empty when no route matches. */
  sinksFor(event: Event): readonly number[] {
    let key = '';
    for (const field of this.keyFields) key += `${field(event) ?? '\u0001'}\u0000`;
    if (key === this.lastKey && this.lastAnswer) return this.lastAnswer;
    let answer = this.answers.get(key);
    if (!answer) {
      answer = this.match(event);
      if (this.answers.size >= REMEMBERED) this.answers = new Map();
      this.answers.set(key, answer);
    }
    this.lastKey = key;
    this.lastAnswer = answer;
    return answer;
  }

  private match(event: Event): readonly number[] {
    const sinks = new Set<number>();
    for (const route of this.routes) {
      if (route.matches(event)) for (const index of route.to) sinks.add(index);
    }
    return [...sinks].sort((a, b) => a - b);
  }
}

function compileMatch(match: Match): (event: Event) => boolean {
  const tests = (Object.keys(match) as (keyof Match)[]).flatMap((field) => {
    const pattern = match[field];
    if (pattern === undefined) return [];
    const read = FIELDS[field];
    const test = compilePattern(pattern);
    return [
      (event: Event): boolean => {
        const value = read(event);
        return value !== null && test(value);
      },
    ];
  });
  return (event) => tests.every((test) => test(event));
}

function indexOfSink(sinkNames: readonly string[], name: string): number {
  const index = sinkNames.indexOf(name);
  if (index < 0) throw new Error(`route names the unknown sink ${name}`);
  return index;
}
