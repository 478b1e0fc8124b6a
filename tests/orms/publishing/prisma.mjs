import { PrismaPg } from '@prisma/adapter-pg';
import prismaClient from '../prisma-client/index.js'; // made by `prisma generate`

export async function open(url) {
  const prisma = new prismaClient.PrismaClient({ adapter: new PrismaPg({ connectionString: url }) });
  return { transaction: (work) => prisma.$transaction(work), outside: prisma, close: () => prisma.$disconnect() };
}
