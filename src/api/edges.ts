/** Chance, for the API: the one place that takes it from the system. */
import { randomUUID } from 'node:crypto';

/** Names an unexpected error in the answer and in the log. */
export const systemErrorId = (): string => randomUUID();
