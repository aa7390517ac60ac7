/** The contract at run time: descriptors of all messages and services. */
import {
  createFileRegistry,
  type DescMessage,
  type DescMethod,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf';
import { type FileDescriptorSet, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { descriptorSet } from '../gen/descriptors.ts';

export const descriptorBytes = Buffer.from(descriptorSet, 'base64');

export const contract: FileDescriptorSet = fromBinary(FileDescriptorSetSchema, descriptorBytes);

export const registry: FileRegistry = createFileRegistry(contract);

/** Throws for a path that the contract does not have: nothing is served unchecked. */
function methodDescriptor(path: string, from: FileRegistry): DescMethod {
  const [, service = '', name = ''] = path.split('/');
  const method = from.getService(service)?.methods.find((candidate) => candidate.name === name);
  if (!method) throw new Error(`the contract has no method ${path}`);
  return method;
}

/** What a method takes. */
export const requestDescriptor = (path: string, from: FileRegistry = registry): DescMessage =>
  methodDescriptor(path, from).input;

/** What a method answers. */
export const responseDescriptor = (path: string): DescMessage => methodDescriptor(path, registry).output;
