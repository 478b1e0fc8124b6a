/** What an application adds to its page. */
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { bundleForBrowsers } from '../support/browser-bundle.ts';

const SUBSCRIBE = `export * from './packages/consumer/src/subscribe/index.ts';`;
const OFFLINE = `export * from './packages/consumer/src/offline/index.ts';
export * from './packages/consumer/src/offline/indexed-db-store.ts';`;
const WEBHOOKS = `export * from './packages/consumer/src/index.ts';`;

test.each([
  ['the subscriber', SUBSCRIBE, 5 * 1024],
  ['the subscriber and the queue', SUBSCRIBE + OFFLINE, 6 * 1024],
  ['the webhook handler', WEBHOOKS, 12 * 1024],
])('%s stays small, and holds nothing but its own files', async (_, source, limit) => {
  const { text, meta } = await bundleForBrowsers({ source, external: ['idb'] });
  const foreign = Object.keys(meta.inputs).filter(
    (file) => !/^(<stdin>|packages\/(consumer\/src|vocabulary)\/)/.test(file),
  );
  expect(foreign).toEqual([]);
  expect(Object.keys(meta.inputs).length).toBeGreaterThan(5);
  expect(text).not.toMatch(/\b(process\.|Buffer\b|require\()/);
  expect(gzipSync(text).length).toBeLessThan(limit);
});
