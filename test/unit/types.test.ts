// What TypeScript promises users. `npm run typecheck` is the judge: a type that changed, or a misuse that compiles, fails
// there; at run time these tests only show that the file was looked at.
import { describe, expectTypeOf, it } from 'vitest';
import type {
  AnswerableExit,
  BackendKind,
  Exit,
  ExitName,
  Finding,
  KernelError,
  Machine,
  MachineOptions,
  NotSupportedError,
  RegisterName,
  Vcpu,
} from '../../src/index.ts';

type ExitOf<Kind extends Exit['kind']> = Extract<Exit, { kind: Kind }>;

describe('the types of a machine', () => {
  it('make it a resource of `await using`', () => {
    expectTypeOf<Machine>().toExtend<AsyncDisposable>();
    expectTypeOf<typeof Machine.create>().returns.resolves.toEqualTypeOf<Machine>();
  });

  it('tell which backend it got and why', () => {
    expectTypeOf<Machine['backend']['kind']>().toEqualTypeOf<BackendKind>();
    expectTypeOf<Machine['backend']['why']>().toEqualTypeOf<string>();
  });

  it('refuse a backend that does not exist', () => {
    expectTypeOf<{ backend: 'bochs' }>().not.toExtend<MachineOptions>();
    expectTypeOf<{ backend: 'auto' }>().toExtend<MachineOptions>();
  });
});

describe('the types of a vCPU', () => {
  it('give every register as a bigint', () => {
    expectTypeOf<Vcpu['regs'][RegisterName]>().toEqualTypeOf<bigint>();
  });

  it('give an exit later from run() and at once from runSync()', () => {
    expectTypeOf<Vcpu['run']>().returns.resolves.toEqualTypeOf<Exit>();
    expectTypeOf<Vcpu['runSync']>().returns.toEqualTypeOf<Exit>();
  });
});

describe('the types of an exit', () => {
  it('narrow by kind to what that exit carries', () => {
    expectTypeOf<ExitOf<'io-in'>['port']>().toEqualTypeOf<number>();
    expectTypeOf<ExitOf<'mmio-read'>['address']>().toEqualTypeOf<bigint>();
    expectTypeOf<ExitOf<'debug'>['dr6']>().toEqualTypeOf<bigint>();
  });

  it('give reply() to what waits for a value and to nothing else', () => {
    expectTypeOf<Extract<Exit, { reply: unknown }>['kind']>().toEqualTypeOf<'io-in' | 'mmio-read' | 'hypercall'>();
    expectTypeOf<ExitOf<'io-out'>>().not.toHaveProperty('reply');
    expectTypeOf<AnswerableExit>().toExtend<Exit>();
  });

  it('use names that counts and traces know', () => {
    expectTypeOf<Exit['kind']>().toExtend<ExitName>();
  });
});

describe('the types of findings and errors', () => {
  it('have three states, so that a boolean cannot be made of one by mistake', () => {
    expectTypeOf<Finding['state']>().toEqualTypeOf<'yes' | 'no' | 'unknown'>();
  });

  it('carry what the documentation names', () => {
    expectTypeOf<KernelError['errno']>().toEqualTypeOf<number>();
    expectTypeOf<KernelError['operation']>().toEqualTypeOf<string>();
    expectTypeOf<NotSupportedError['requires']>().toEqualTypeOf<string>();
  });
});
