// What every peer sends: the payload of a row of walpost's own benchmark, of some 250 bytes, and a number to know it by.
import pg from 'pg';

export const organizationOf = (n, organizations) => {
  const k = Math.abs(n * 7919) % organizations;
  return `${(Math.imul(k, 0x9e3779b1) >>> 0).toString(16).padStart(8, '0')}-8a44-4f0e-9d4b-${k.toString(16).padStart(12, '0')}`;
};

export const payloadOf = (n, organizations) => ({
  n,
  organization_id: organizationOf(n, organizations),
  event_type: 'job.completed',
  jobId: '0193f0c4-0000-7000-8000-000000000001',
  status: 'completed',
  note: 'x'.repeat(108),
});

export const newPool = (url, max = 10) => {
  const pool = new pg.Pool({ connectionString: url, max });
  pool.on('error', () => undefined);
  return pool;
};
