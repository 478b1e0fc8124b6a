import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { EndpointState } from '../../src/endpoint.ts';
import { type AddressedFields, EndpointDirectory, type KnownEndpoint } from '../../src/endpoints/directory.ts';
import { breaks, Durable, expectedArrivals, SINK, transactions } from './history.ts';

const ORG = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001';

function endpoint(given: Partial<KnownEndpoint> = {}): KnownEndpoint {
  return {
    endpointId: 'e1',
    sink: SINK,
    organizationId: ORG,
    url: 'https://customer.example/hook',
    eventTypes: ['*'],
    headers: {},
    maxPerSecond: null,
    state: 'enabled',
    changeId: '1',
    secretsVersion: '1',
    ...given,
  };
}

function directoryOf(...endpoints: readonly KnownEndpoint[]): EndpointDirectory {
  const directory = new EndpointDirectory();
  directory.reset(endpoints);
  return directory;
}

const event = (eventType: string, more: Partial<AddressedFields> = {}): AddressedFields => ({
  organizationId: ORG,
  eventType,
  entityType: null,
  entityId: null,
  ...more,
});

test('each endpoint gets exactly the events of its time, wherever the connection breaks', () => {
  fc.assert(
    fc.property(transactions, breaks, (history, broken) => {
      const durable = new Durable(history);
      for (const each of broken) durable.connect(each);
      durable.connect({ streamed: Infinity, noted: Infinity });
      expect(durable.isDone).toBe(true);
      const sorted = (arrivals: ReadonlyMap<string, boolean>) => [...arrivals].map(String).toSorted();
      expect(sorted(durable.arrivals)).toEqual(sorted(expectedArrivals(history)));
    }),
    { numRuns: 2_000 },
  );
});

describe('which endpoints get an event', () => {
  test('those of its organization at the sink whose patterns match', () => {
    const directory = directoryOf(
      endpoint(),
      endpoint({ endpointId: 'e2', eventTypes: ['job.*'] }),
      endpoint({ endpointId: 'e3', organizationId: 'another' }),
      endpoint({ endpointId: 'e4', sink: 'another' }),
      endpoint({ endpointId: 'e5', state: 'paused' }),
    );
    expect(directory.lanesFor(SINK, event('job.done'))).toEqual(['e1', 'e2', 'e5']);
    expect(directory.lanesFor(SINK, event('invoice.paid'))).toEqual(['e1', 'e5']);
    expect(directory.lanesFor(SINK, event('job.done', { organizationId: 'nobody' }))).toEqual([]);
  });

  test.each<EndpointState>(['disabled', 'removed'])('none that is %s', (state) => {
    const directory = directoryOf(endpoint({ state }));
    expect(directory.lanesFor(SINK, event('job.done'))).toEqual([]);
    expect(directory.find('e1')).toBeUndefined();
  });

  test('an event of walpost itself only by a pattern that names it', () => {
    const named = endpoint({ endpointId: 'e2', eventTypes: ['walpost.endpoint.disabled'] });
    const directory = directoryOf(endpoint(), named, endpoint({ endpointId: 'e3', eventTypes: ['walp*'] }));
    expect(directory.lanesFor(SINK, event('walpost.endpoint.disabled'))).toEqual(['e2']);
    expect(directory.lanesFor(SINK, event('job.done'))).toEqual(['e1']);
  });

  test('a test event goes to the endpoint that it is about, of its own organization', () => {
    const directory = directoryOf(endpoint({ eventTypes: ['job.done'] }), endpoint({ endpointId: 'e2' }));
    const asked = { entityType: 'walpost.endpoint', entityId: 'e1' };
    expect(directory.lanesFor(SINK, event('walpost.endpoint.test', asked))).toEqual(['e1']);
    expect(directory.lanesFor('another', event('walpost.endpoint.test', asked))).toEqual([]);
    const stranger = { ...asked, organizationId: 'another' };
    expect(directory.lanesFor(SINK, event('walpost.endpoint.test', stranger))).toEqual([]);
    expect(directory.lanesFor(SINK, event('walpost.endpoint.test'))).toEqual([]);
  });
});

test('in a table of the application a type of walpost is a name like any other', () => {
  const directory = new EndpointDirectory(new Map(), true);
  directory.reset([endpoint(), endpoint({ endpointId: 'e2', eventTypes: ['walpost.endpoint.test'] })]);
  const asked = event('walpost.endpoint.test', { entityType: 'walpost.endpoint', entityId: 'e1' });
  expect(directory.lanesFor(SINK, asked)).toEqual(['e2']);
});

test('only a change of its secrets makes them be read again', () => {
  const directory = directoryOf(endpoint());
  const { secretsVersion: _version, changeId: _change, ...plain } = endpoint();
  const change = { kind: 'endpoint_change' as const, endpoint: plain, origin: {} as never };
  directory.apply({ ...change, changeId: '2', renewsSecrets: false });
  expect(directory.find('e1')?.secretsVersion).toBe('1');
  directory.apply({ ...change, changeId: '3', renewsSecrets: true });
  expect(directory.find('e1')?.secretsVersion).toBe('3');
});
