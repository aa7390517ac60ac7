/**
 * Request ids made from what a record is about, so that a second run asks for the very same things and gets the
 * stored outcomes. Never change the namespace or the names: they tie a run to all runs before.
 */
import { v5 } from 'uuid';

export const source = 'online-retail';
export const currency = 'GBP';

const namespace = '6f0c4a56-9a0e-4c0f-8c55-3b8f1d6d7a11';

const id = (...parts: readonly (string | number)[]): string => v5([source, ...parts].join('\n'), namespace);

export const documentRequestId = (invoice: string, version: number): string =>
  id('document', invoice, version);
export const programmeRequestId = (): string => id('programme', 1);
export const withdrawalRequestId = (month: string, member: string): string => id('withdrawal', month, member);
export const settlementRequestId = (month: string, member: string): string => id('settlement', month, member);
export const releaseRequestId = (at: Date, member: string): string => id('release', at.toISOString(), member);
