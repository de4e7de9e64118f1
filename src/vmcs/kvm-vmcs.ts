/** What of a VMCS a program can have on KVM: a type of its own, without the fields and controls that KVM keeps to itself. */
import { NotSupportedError } from '../errors.ts';
import { fieldShape } from '../x86/vmcs-fields.ts';
import { judge, type Problem } from './check.ts';
import { guestChecks } from './guest-checks.ts';
import { type KvmFieldName, kvmControls, kvmFields, whyNoField } from './kvm-mapping.ts';
import { defaultFields } from './states.ts';
import { bitOf, controlWordOf } from './vmcs.ts';

type Words = typeof kvmControls;
/** As for a Vmcs; a control that KVM always has on takes `true` only. */
export type KvmVmcsChanges = { readonly [Name in KvmFieldName]?: bigint } & {
  readonly [Word in keyof Words]?: {
    readonly [Name in keyof Words[Word]]?: Words[Word][Name] extends 'always' ? true : boolean;
  };
};

const isField = (name: string): name is KvmFieldName => Object.hasOwn(kvmFields, name);
const isWord = (name: string): name is keyof Words => Object.hasOwn(kvmControls, name);

export class KvmVmcs {
  readonly #fields = new Map<string, bigint>();

  constructor() {
    for (const name of Object.keys(kvmFields) as KvmFieldName[]) this.#fields.set(name, defaultFields[name] ?? 0n);
    for (const [word, controls] of Object.entries(kvmControls) as [keyof Words, Record<string, string>][]) {
      const bits = Object.entries(controls).filter(([, by]) => by === 'always');
      const value = bits.reduce((sum, [name]) => sum | (1n << bitOf(word, name)), 0n);
      this.#fields.set(controlWordOf(word), value);
    }
  }

  get(name: KvmFieldName): bigint {
    const value = isField(name) ? this.#fields.get(name) : undefined;
    if (value === undefined) throw refused(name, whyNoField(name));
    return value;
  }

  has<Word extends keyof Words>(word: Word, name: keyof Words[Word] & string): boolean {
    return (((this.#fields.get(controlWordOf(word)) ?? 0n) >> bitOf(word, name)) & 1n) === 1n;
  }

  /**
   * Changes fields and controls.
   * @throws NotSupportedError for what KVM does not offer, by name and with the reason; nothing is changed then
   */
  set(changes: KvmVmcsChanges): this {
    const next = new Map<string, bigint>();
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) continue;
      if (isWord(name)) {
        const field = controlWordOf(name);
        for (const [control, on] of Object.entries(value)) {
          const by = (kvmControls[name] as Record<string, string>)[control];
          if (by === undefined) throw refused(`${name}.${control}`, 'KVM sets this control as it needs it');
          if (by === 'always' && !on) throw refused(`${name}.${control} off`, 'KVM always has it on');
          const bit = 1n << bitOf(name, control);
          const word = next.get(field) ?? this.#fields.get(field) ?? 0n;
          next.set(field, on ? word | bit : word & ~bit);
        }
      } else if (isField(name)) {
        const { bits } = fieldShape(name);
        const wanted = BigInt(value as bigint);
        if (wanted >> BigInt(bits) !== 0n) {
          throw new RangeError(`${name} has ${bits} bits: 0x${wanted.toString(16)} is wider`);
        }
        next.set(name, wanted);
      } else {
        throw refused(name, whyNoField(name));
      }
    }
    for (const [name, value] of next) this.#fields.set(name, value);
    return this;
  }

  /** The checks of VM entry on the guest's state that are broken, as far as the fields of KVM tell. */
  check(): readonly Problem[] {
    // KVM adds the bits that VMX needs to CR0 and CR4 itself.
    const fields = new Map(this.#fields)
      .set('guestCr0', this.get('guestCr0') | 0x20n)
      .set('guestCr4', this.get('guestCr4') | 0x2000n);
    return judge(guestChecks, fields, {}).problems;
  }
}

function refused(what: string, why: string): NotSupportedError {
  return new NotSupportedError(`${what} does not exist on KVM: ${why}`, {
    requires: "backend: 'emulated', whose VMCS has every field",
  });
}
