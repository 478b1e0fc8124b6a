import { QueryClient, QueryObserver } from '@tanstack/query-core';
import { indexedDbStore } from '@walpost/consumer/idb';
import { createOfflineQueue, PermanentError } from '@walpost/consumer/offline';
import { invalidateQueries } from '@walpost/consumer/subscribe';
import type { JobList } from '../jobs.ts';
import { type AppEvents, getJson, openNotifications } from './channel.ts';
import { bus, showBadge, showToasts } from './notices.ts';

const query = `?organization=${new URLSearchParams(location.search).get('organization') ?? '1'}`;
const { organizationId, subscriber } = await openNotifications(query);

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}

// What waits to be sent is shown, and a job is approved once, however often the page tries.
const outbox = createOfflineQueue<{ readonly job: string }>({
  name: `approvals-${organizationId}`,
  store: indexedDbStore(),
  send: async ({ id, data }) => {
    const headers = { 'idempotency-key': id };
    const answer = await fetch(`/approve${query}`, { method: 'POST', headers, body: data.job });
    if (answer.status === 422) throw new PermanentError('refused');
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  },
  onChange: (waiting) => (element('waiting').textContent = waiting === 0 ? '' : `${waiting} to be sent`),
  onDrop: ({ data }, reason) => bus.emit('toast', `Job ${data.job} was not approved: ${reason}.`),
});

// The list is a query; events make it stale.
const queryClient = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
queryClient.mount(); // a read that was begun without a network goes on when it is back
let reads = 0;
const jobs = new QueryObserver<JobList>(queryClient, {
  queryKey: ['jobs'],
  queryFn: () => {
    element('reads').textContent = String((reads += 1));
    return getJson<JobList>(`/jobs${query}`);
  },
});
jobs.subscribe(({ data }) => data !== undefined && showJobs(data));
subscriber.subscribe(
  organizationId,
  invalidateQueries<AppEvents>(queryClient, { events: { 'job.*': [['jobs']] }, reset: [['jobs']] }),
);

showToasts(element('toasts'));
showBadge(element('badge'));
let events = 0;
/** For the audit: how often each event has come. */
const received = new Map<string, number>();
subscriber.subscribe(organizationId, {
  events: {
    'job.created': () => bus.emit('job', { what: 'created' }),
    'job.updated': () => bus.emit('job', { what: 'changed' }),
    '*': ({ event_id }) => {
      received.set(event_id, (received.get(event_id) ?? 0) + 1);
      element('events').textContent = (events += 1).toLocaleString('en');
    },
  },
  onStatus: ({ state }) => {
    element('state').textContent = state;
    element('state').dataset['state'] = state;
  },
});
Object.assign(globalThis, { received });

function showJobs({ counts, latest }: JobList): void {
  element('counts').textContent = Object.entries(counts)
    .map(([status, count]) => `${count.toLocaleString('en')} ${status}`)
    .join(', ');
  const rows = latest.map(({ id, title, status }) => {
    const row = document.createElement('tr');
    for (const text of [id, title, status]) row.insertCell().textContent = text;
    const button = document.createElement('button');
    button.textContent = 'Approve';
    button.disabled = status === 'approved';
    button.addEventListener('click', () => void outbox.add({ job: id }));
    row.insertCell().append(button);
    return row;
  });
  element('jobs').replaceChildren(...rows);
}

async function ask(path: string, body = ''): Promise<void> {
  const answer = await fetch(`${path}${query}`, { method: 'POST', body }).catch(() => undefined);
  if (answer?.ok !== true) bus.emit('toast', 'That did not work. Is the network there?');
}

element('organization').textContent = `Library ${query.at(-1)}`;
element('create').addEventListener('click', () => void ask('/jobs', 'Letters, a new volume'));
element('change-all').addEventListener('click', () => void ask('/change-all'));
