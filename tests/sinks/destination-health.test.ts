import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DestinationHealth, mayProbe } from '../../src/sinks/guard/destination-health.ts';

const limits = { failureRate: 0.5, minimumOrganizations: 5, window: 10_000 };

/** `a-` says that organization a failed, `a+` that it was served; true when the last of them opens the breaker. */
function opens(story: string, given: Partial<typeof limits> & { step?: number } = {}): boolean {
  const health = new DestinationHealth({ ...limits, ...given });
  let now = 0;
  let open = false;
  for (const answer of story.split(' ')) {
    now += given.step ?? 1;
    open = health.record(answer.slice(0, -1), answer.endsWith('+'), now);
  }
  return open;
}

describe('the breaker opens', () => {
  test.each([
    ['when five organizations fail', 'a- b- c- d- e-', {}, true],
    ['at exactly the rate', 'a+ b+ c- d- e+ f-', {}, true],
    ['even if one organization is served a thousand times', `${'a+ '.repeat(1000)}b- c- d- e-`, {}, true],
    ['by the latest answer of each: they were served before', 'a+ b+ c+ d+ e+ a- b- c-', {}, true],
    ['with two organizations, where that is enough', 'a- b-', { minimumOrganizations: 2 }, true],
  ] as const)('%s', (_name, story, given, expected) => {
    expect(opens(story, given)).toBe(expected);
  });
});

describe('the breaker stays closed', () => {
  test.each([
    ['while one organization fails again and again', 'a- '.repeat(50).trim(), {}],
    [
      'while one fails alone, even where one call is enough',
      'a- a- a-',
      { minimumOrganizations: 1, failureRate: 0.01 },
    ],
    ['while one comes and goes', 'a- a+ a- a+ a- a+ a-', { minimumOrganizations: 1 }],
    ['while too few organizations were heard', 'a- b- c- d- a- b- c- d-', {}],
    ['below the rate', 'a+ b+ c+ d+ e- f-', {}],
    ['when failures are older than the window', 'a- b- c- d- e-', { step: 3000 }],
    ['at an answer that is good', 'a- b- c- d- e+', {}],
  ] as const)('%s', (_name, story, given) => {
    expect(opens(story, given)).toBe(false);
  });
});

test('one organization alone never opens it, whatever the limits and the others say', () => {
  const others = fc.array(fc.record({ organization: fc.string(), wait: fc.integer({ min: 0, max: 20_000 }) }));
  const anyLimits = fc.record({
    failureRate: fc.double({ min: 0.01, max: 1, noNaN: true }),
    minimumOrganizations: fc.integer({ min: 1, max: 20 }),
  });
  fc.assert(
    fc.property(others, anyLimits, (answers, some) => {
      const health = new DestinationHealth({ ...limits, ...some });
      let now = 0;
      return answers.every(({ organization, wait }) => {
        now += wait;
        health.record(`other ${organization}`, true, now);
        return !health.record('the sick one', false, now);
      });
    }),
  );
});

test('an outage opens it while a hundred thousand organizations are active, in bounded memory', () => {
  const health = new DestinationHealth(limits);
  for (let index = 0; index < 100_000; index++) health.record(`organization ${index}`, true, 1);
  let failures = 0;
  while (!health.record(`organization ${failures++}`, false, 2));
  expect(failures).toBeLessThanOrEqual(2100);
});

test('an organization whose probe failed gives way to others that wait, for a while', () => {
  const question = { organization: 1, suspect: 1, othersWait: true, halfOpenFor: 0, patience: 1000 };
  expect(mayProbe(question)).toBe(false);
  expect(mayProbe({ ...question, organization: 2 })).toBe(true);
  expect(mayProbe({ ...question, othersWait: false })).toBe(true);
  expect(mayProbe({ ...question, suspect: undefined })).toBe(true);
  expect(mayProbe({ ...question, halfOpenFor: 1000 })).toBe(true);
});
