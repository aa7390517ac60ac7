/** Requests that are valid as they are. */
import { randomUUID } from 'node:crypto';

/** A credit of some minor units; every call makes another one. */
export const credit = (member = 'ann', amountMinor = 1n) => ({
  member,
  currency: 'GBP',
  occurredAt: new Date('2026-03-01T12:00:00Z'),
  adjustmentId: randomUUID(),
  amountMinor,
  reason: 'test',
  requestedBy: 'olga',
  approvedBy: 'piet',
});

export const ann = { member: 'ann', currency: 'GBP' };
