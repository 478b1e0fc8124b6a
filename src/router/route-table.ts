import type { RouteConfig } from '../config/schema.ts';
import type { Event } from '../event.ts';
import { isReserved } from '../reserved.ts';
import { AnswerMemory } from './answer-memory.ts';
import { compilePattern } from '../pattern.ts';

type Match = RouteConfig['match'];

/** What routes look at. */
export type RoutedFields = Pick<Event, 'topic' | 'eventType' | 'target' | 'entityType' | 'organizationId'>;

/** The fields that a route may match, with how an event answers each. */
const FIELDS = {
  topic: (event: RoutedFields) => event.topic,
  event_type: (event: RoutedFields) => event.eventType,
  target: (event: RoutedFields) => event.target,
  entity_type: (event: RoutedFields) => event.entityType,
  organization_id: (event: RoutedFields) => event.organizationId,
} satisfies Record<keyof Match, (event: RoutedFields) => string | null>;

interface Route {
  /** Names events of walpost itself: a pattern of the topic or of the type begins with `walpost.`. No wildcard takes them. */
  readonly namesOurs: boolean;
  readonly matches: (event: RoutedFields) => boolean;
  readonly to: readonly number[];
}

/** A longer field is matched each time: it will hardly come again, and remembering it would cost memory. */
const LONGEST_REMEMBERED = 1_024;

/**
 * Which sinks an event goes to: the union of all routes that match, each sink once, in the order of the sinks.
 *
 * Patterns are matched once for each combination of the fields that any route looks at; the same answer, the same
 * array, serves all later events of that combination.
 */
export class RouteTable {
  private readonly routes: readonly Route[];
  private readonly keyFields: readonly ((event: Event) => string | null)[];
  private readonly answers = new AnswerMemory<readonly number[]>();
  /** What the last event was asked for, field by field, and the answer. Most events need no key then. */
  private readonly lastValues: (string | null)[];
  private lastAnswer: readonly number[] | undefined;

  constructor(routes: readonly RouteConfig[], sinkNames: readonly string[]) {
    this.routes = routes.map((route) => ({
      namesOurs: isReserved(route.match.topic ?? '') || isReserved(route.match.event_type ?? ''),
      matches: compileMatch(route.match),
      to: route.to.map((name) => indexOfSink(sinkNames, name)),
    }));
    const used = new Set(routes.flatMap((route) => Object.keys(route.match) as (keyof Match)[]));
    this.keyFields = [...used].map((field) => FIELDS[field]);
    this.lastValues = this.keyFields.map(() => null);
  }

  /** Indexes into the sinks; empty when no route matches. */
  sinksFor(event: Event): readonly number[] {
    if (isOurs(event)) return this.match(event); // its topic and type need not be among the fields of the key
    if (this.lastAnswer && this.isLikeLast(event)) return this.lastAnswer;
    const key = this.keyOf(event);
    if (key === null) return this.match(event);
    let answer = this.answers.get(key);
    if (!answer) {
      answer = this.match(event);
      this.answers.set(key, answer);
    }
    this.remember(event, answer);
    return answer;
  }

  private isLikeLast(event: Event): boolean {
    const { keyFields, lastValues } = this;
    for (let i = 0; i < keyFields.length; i += 1) if (keyFields[i]?.(event) !== lastValues[i]) return false;
    return true;
  }

  private remember(event: Event, answer: readonly number[]): void {
    const { keyFields, lastValues } = this;
    for (let i = 0; i < keyFields.length; i += 1) lastValues[i] = keyFields[i]?.(event) ?? null;
    this.lastAnswer = answer;
  }

  /**
   * The fields hold what any tenant wrote. Behind one character that tells its length each stands for itself alone, and no
   * text looks like null. The key is null when a field is too long to be remembered.
   */
  private keyOf(event: Event): string | null {
    let key = '';
    for (const field of this.keyFields) {
      const value = field(event);
      if (value === null) key += '\0';
      else if (value.length > LONGEST_REMEMBERED) return null;
      else key += String.fromCharCode(value.length + 1) + value;
    }
    return key;
  }

  /** The answer without the memory. */
  match(event: RoutedFields): readonly number[] {
    const sinks = new Set<number>();
    const ours = isOurs(event);
    for (const route of this.routes) {
      if (ours && !route.namesOurs) continue;
      if (route.matches(event)) for (const index of route.to) sinks.add(index);
    }
    return [...sinks].sort((a, b) => a - b);
  }
}

function isOurs({ topic, eventType }: RoutedFields): boolean {
  return isReserved(topic) || isReserved(eventType);
}

function compileMatch(match: Match): (event: RoutedFields) => boolean {
  const tests = (Object.keys(match) as (keyof Match)[]).flatMap((field) => {
    const pattern = match[field];
    if (pattern === undefined) return [];
    const read = FIELDS[field];
    const test = compilePattern(pattern);
    return [
      (event: RoutedFields): boolean => {
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
