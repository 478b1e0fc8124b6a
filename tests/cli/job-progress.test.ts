import { expect, test } from 'vitest';
import { JobProgress, rateText } from '../../src/cli/job-progress.ts';
import type { Job } from '../../src/jobs/job.ts';

const job = (state: Job['state'], settled: number): Job =>
  ({ id: '17', kind: 'replay', spec: {}, state, settled }) as Job;

test('says rate and time left as soon as something was sent while it was watched', () => {
  const progress = new JobProgress(1204);
  expect(progress.line(job('queued', 0), 0)).toBe('replay-17: queued, 0 of about 1204 events');
  expect(progress.line(job('running', 200), 5_000)).toBe('replay-17: running, 200 of about 1204 events');
  expect(progress.line(job('running', 400), 6_000)).toBe(
    'replay-17: running, 400 of about 1204 events, 200/s, 4.0 s left',
  );
  expect(progress.line(job('running', 1300), 7_000)).toBe(
    'replay-17: running, 1300 of about 1204 events, 550/s, 0.0 s left',
  );
});

test('slow rates keep their digits', () => {
  expect([0.0213, 0.5, 9.99, 12.4, 1234.5].map(rateText)).toEqual(['0.021/s', '0.5/s', '10/s', '12/s', '1235/s']);
});
