import type { ReceivedEvent } from '../e2e/event-receiver.ts';

/** The numbers of the events (`payload.n`) in the order of their first arrival, by organization. */
export function firstArrivals(events: readonly ReceivedEvent[]): Map<string, number[]> {
  const first = new Map<string, Set<number>>();
  for (const { organization_id: organization, payload } of events) {
    let numbers = first.get(organization);
    if (!numbers) first.set(organization, (numbers = new Set()));
    numbers.add((payload as { n: number }).n);
  }
  return new Map([...first].map(([organization, numbers]) => [organization, [...numbers]]));
}

/** What is wrong with them: organizations whose numbers are not 0, 1, 2 … up to the count that was committed. */
export function disorder(events: readonly ReceivedEvent[], committed: ReadonlyMap<string, number>): string[] {
  const first = firstArrivals(events);
  return [...committed].flatMap(([organization, count]) => {
    const numbers = first.get(organization) ?? [];
    const wrong = numbers.findIndex((n, place) => n !== place);
    if (wrong >= 0) return [`${organization}: ${numbers[wrong]} at place ${wrong}`];
    return numbers.length === count ? [] : [`${organization}: ${numbers.length} of ${count}`];
  });
}
