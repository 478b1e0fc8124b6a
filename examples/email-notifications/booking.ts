/** `npm run booking <email> <guest> [how many]`: the function in TypeScript. Each booking and its mail commit together. */
import pg from 'pg';
import { queueNotification } from './queue-notification.ts';

const [email = 'ada@example.com', guest = 'Ada', count = '1'] = process.argv.slice(2);
const client = new pg.Client({ connectionString: process.env['APP_URL'] });
await client.connect();
for (let n = 0; n < Number(count); n += 1) {
  console.log(
    `queued ${await book({ email, guest, room: '12, harbour side', arrival: '2027-03-14', nights: 3 })} for ${email}`,
  );
}
await client.end();

interface Booking {
  readonly email: string;
  readonly guest: string;
  readonly room: string;
  readonly arrival: string;
  readonly nights: number;
}

async function book(given: Booking): Promise<string> {
  try {
    await client.query('BEGIN');
    const { rows } = await client.query<{ id: string }>(
      'INSERT INTO app.bookings (email, guest, room, arrival, nights) VALUES ($1, $2, $3, $4, $5) RETURNING id',
      [given.email, given.guest, given.room, given.arrival, given.nights],
    );
    const booking = `H-${rows[0]?.id}`;
    const id = await queueNotification(client, 'booking.confirmed', { ...given, booking }, { idempotencyKey: booking });
    await client.query('COMMIT');
    return id;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}
