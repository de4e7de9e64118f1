/** What /dev/kvm can do here, by doing it. */
import type { Fact, HostFacts, KvmAnswers } from '../host/facts.ts';
import { all, type Check, evidence, from, type Verdict, verdict } from './check.ts';

/** What drives guests: VMX, SVM, or neither. */
function moduleText(name: string): string {
  if (name === 'kvm_intel') return 'kvm_intel (VMX)';
  if (name === 'kvm_amd') return 'kvm_amd (SVM)';
  return `${name} (neither VMX nor SVM)`;
}

/** An answer of /dev/kvm: without the descriptor nothing was asked. */
function answer<T>(facts: HostFacts, pick: (kvm: KvmAnswers) => Fact<T>): Fact<T> {
  const { kvm } = facts;
  if (kvm.error === undefined) return pick(kvm.value as KvmAnswers);
  return kvm.code === undefined
    ? { source: kvm.source, error: kvm.error }
    : { source: kvm.source, error: kvm.error, code: kvm.code };
}

/** A machine was created: the only proof that others can be. */
export function usable(facts: HostFacts): Verdict {
  const vm = answer(facts, ({ vm }) => vm);
  if (vm.error !== undefined) {
    const conclusive = ['ENOENT', 'EACCES', 'EPERM', 'ENODEV', 'ENXIO'].includes(vm.code ?? '');
    return verdict(conclusive ? 'no' : 'unknown', `no machine could be created: ${vm.error}`, [evidence(vm)]);
  }
  return verdict('yes', 'a machine was created', [evidence(vm, () => 'created and closed')]);
}

export const kvm: readonly Check[] = [
  {
    id: 'kvm.node',
    area: 'kvm',
    title: '/dev/kvm exists',
    rule: (facts) =>
      from(facts.kvmNode, () => ['yes', 'the node is there'], {
        show: ({ mode, uid, gid }) => `mode ${mode}, uid ${uid}, gid ${gid}`,
        absent: 'there is no /dev/kvm',
      }),
    remedy: { no: 'modprobe kvm_intel (or kvm_amd); in a container, pass --device /dev/kvm' },
  },
  {
    id: 'kvm.permission',
    area: 'kvm',
    title: 'you may open it',
    rule: (facts) => {
      const { kvmAccess: access } = facts;
      if (access.code === 'EACCES' || access.code === 'EPERM')
        return verdict('no', 'you may not read and write it', [evidence(access)]);
      return from(access, () => ['yes', 'readable and writable'], { absent: 'there is no /dev/kvm' });
    },
    remedy: { no: 'join the group that owns /dev/kvm (usermod -aG kvm USER, then log in again), or run as root' },
  },
  {
    id: 'kvm.api',
    area: 'kvm',
    title: 'API version 12',
    rule: (facts) =>
      from(
        answer(facts, ({ apiVersion }) => apiVersion),
        (version) => (version === 12 ? ['yes', 'the stable API'] : ['no', `version ${version} is not the stable API`]),
        { absent: 'there is no /dev/kvm' },
      ),
  },
  {
    id: 'kvm.usable',
    area: 'kvm',
    title: 'usable now',
    rule: usable,
    remedy: {
      no: 'see the findings above; without KVM guests run on the emulated backend',
      unknown: 'run vtkit on the host itself',
    },
  },
  {
    id: 'kvm.module',
    area: 'kvm',
    title: 'kernel module that runs guests',
    rule: (facts) =>
      from(
        facts.modules,
        (loaded) => {
          const backends = [...loaded.keys()].filter((name) => name.startsWith('kvm_'));
          if (backends.length > 0) return ['yes', backends.map((name) => moduleText(name)).join(', ')];
          return usable(facts).state === 'yes'
            ? ['unknown', 'built into the kernel, which does not tell its name']
            : ['no', 'no module of KVM is loaded'];
        },
        {
          show: (loaded) =>
            [...loaded].map(([name, parameters]) => `${name} ${JSON.stringify(parameters)}`).join(' ') || 'none',
        },
      ),
    remedy: { no: 'modprobe kvm_intel (or kvm_amd)' },
  },
  {
    id: 'kvm.irqchip',
    area: 'kvm',
    title: 'interrupt controllers in the kernel',
    rule: (facts) => capability(facts, 'KVM_CAP_IRQCHIP'),
  },
  {
    id: 'kvm.ioeventfd',
    area: 'kvm',
    title: 'ioeventfd and irqfd',
    rule: (facts) => all(capability(facts, 'KVM_CAP_IOEVENTFD'), capability(facts, 'KVM_CAP_IRQFD')),
  },
  {
    id: 'kvm.dirty-ring',
    area: 'kvm',
    title: 'dirty ring',
    rule: (facts) => capability(facts, 'KVM_CAP_DIRTY_LOG_RING'),
  },
  {
    id: 'kvm.nested-state',
    area: 'kvm',
    title: 'nested state',
    rule: (facts) => capability(facts, 'KVM_CAP_NESTED_STATE'),
  },
];

function capability(facts: HostFacts, name: string): Verdict {
  return from(
    answer(facts, ({ capabilities }) => capabilities),
    (values) => ((values[name] ?? 0) > 0 ? ['yes', `${name} is ${values[name]}`] : ['no', `${name} is 0`]),
    {
      show: (values) => `${name} = ${values[name] ?? 0}`,
      absent: 'there is no /dev/kvm',
    },
  );
}
