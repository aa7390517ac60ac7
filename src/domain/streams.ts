/** Names of streams. An id may hold any character: what could be mistaken for a separator is percent-encoded. */

const escapeId = (id: string): string => encodeURIComponent(id).replaceAll('~', '%7E');

export const programmeStream = (merchant: string): string => `programme-${escapeId(merchant)}`;

export const orderStream = (source: string, externalId: string): string =>
  `order-${escapeId(source)}~${escapeId(externalId)}`;

export const accountStream = (member: string, currency: string): string =>
  `account-${escapeId(member)}~${currency}`;

export const itemStream = (merchant: string, sku: string): string =>
  `item-${escapeId(merchant)}~${escapeId(sku)}`;

/** Name of an order (or other document) within an account or item: "source~external id", escaped alike. */
export const orderId = (source: string, externalId: string): string =>
  `${escapeId(source)}~${escapeId(externalId)}`;

/** The stream of the order of that name. */
export const orderStreamOf = (entryId: string): string => `order-${entryId}`;
