import { expect, test } from 'vitest';
import { INDEPENDENT_OF_NODE, testFiles, testsIndependentOfNode } from '../support/independent-of-node.ts';

test('every pattern names tests that are there', () => {
  const words = INDEPENDENT_OF_NODE.flatMap(({ source }) => {
    const [, before = '', choices = '', after = ''] = /^(.*?)\((.*)\)(.*)$/.exec(source) ?? [];
    return choices.split('|').map((choice) => new RegExp(before + choice + after));
  });
  expect(words.length).toBeGreaterThan(30);
  expect(words.filter((word) => !testFiles().some((file) => word.test(file)))).toEqual([]);
});

test('what a version of Node can change is tested on each version', () => {
  const left = testFiles()
    .map((file) => `tests/${file}`)
    .filter((file) => !testsIndependentOfNode().includes(file));
  expect(left).toEqual(
    expect.arrayContaining([
      'tests/cli/program.test.ts',
      'tests/cli/run.test.ts',
      'tests/e2e/all-in-order.test.ts',
      'tests/e2e/stop.test.ts',
      'tests/sinks/webhook.test.ts',
      'tests/slot/slot-stream.test.ts',
    ]),
  );
});
