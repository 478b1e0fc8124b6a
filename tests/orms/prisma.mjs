import { PrismaPg } from '@prisma/adapter-pg';
import prismaClient from './prisma-client/index.js'; // made by `prisma generate`

export default async function write({ url, organization, id }) {
  const prisma = new prismaClient.PrismaClient({ adapter: new PrismaPg({ connectionString: url }) });
  const data = { eventId: id, organizationId: organization, eventType: 'prisma', payload: { n: 1 } };
  const result = await prisma.$transaction(async (tx) => {
    const created = await tx.outbox.create({ data });
    const read = await tx.outbox.findUniqueOrThrow({ where: { eventId: id } });
    const { count } = await tx.outbox.createMany({ data: [data], skipDuplicates: true });
    return { created, read: read.eventType, again: count };
  });
  await prisma.$disconnect();
  return result;
}
