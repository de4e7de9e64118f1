// A state that is written, or read back: the list of an object's fields stands once, for both directions.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace vtkit::state {

/**
 * Little-endian fields, one after the other, in sections that carry a name and a version.
 *
 * What is read may come from anywhere: whoever reads a field says what it may hold, and the first value that may not
 * be ends the reading. Fields behind it keep what they had, so that an object is never left with half a value.
 */
class Archive {
 public:
  /** Ticks and nanoseconds beyond this are no machine's: sums of two of them do not turn over. */
  static constexpr uint64_t kLastMoment = uint64_t{1} << 61;
  static constexpr uint64_t kNever = ~uint64_t{0};

  /** Writes to the end of `to`. */
  explicit Archive(std::vector<uint8_t>& to) : to_(&to) {}
  /** Reads. */
  Archive(const uint8_t* from, size_t bytes) : from_(from), bytes_(bytes) {}

  bool reads() const { return to_ == nullptr; }
  bool failed() const { return why_ != nullptr; }
  /** What is wrong, with the section and the offset in what was read. */
  const char* why() const { return why_; }
  const char* section() const { return section_; }
  size_t offset() const { return at_; }

  /** Begins a section. `name` has four letters, and outlives the archive. */
  void section(const char* name, uint16_t version) {
    section_ = name;
    char letters[4];
    std::memcpy(letters, name, sizeof(letters));
    raw(letters, sizeof(letters));
    check(std::memcmp(letters, name, sizeof(letters)) == 0, "another section was expected here");
    uint16_t found = version;
    value(found);
    check(found == version, "the section has a version that is not known");
  }
  /** All of what is read was needed. */
  void end() { check(!reads() || at_ == bytes_, "something follows the last section"); }

  /** Any value. */
  template <typename T>
  void value(T& field) {
    static_assert(std::is_integral<T>::value && !std::is_same<T, bool>::value, "a number");
    raw(&field, sizeof(T));
  }
  template <typename T, size_t Count>
  void value(T (&fields)[Count]) {
    for (T& field : fields) value(field);
  }
  template <typename T>
  void value(std::atomic<T>& field) {
    T plain = field.load();
    value(plain);
    if (reads()) field.store(plain);
  }
  void value(bool& field) {
    uint8_t byte = field ? 1 : 0;
    within(byte, uint8_t{0}, uint8_t{1});
    if (reads()) field = byte != 0;
  }
  /** A number or an enumeration of these values. */
  template <typename T>
  void within(T& field, T least, T most) {
    accepted(
        field, [&](const T& read) { return least <= read && read <= most; }, "a value is out of its range");
  }
  template <typename T>
  void atMost(T& field, T most) {
    within(field, T{}, most);
  }
  /** A register in which only these bits exist. */
  template <typename T>
  void bits(T& field, T known) {
    accepted(
        field, [&](const T& read) { return (read & ~known) == 0; }, "a register has bits that it does not have");
  }
  void moment(uint64_t& field) { within(field, uint64_t{0}, kLastMoment); }
  /** A moment, or kNever. */
  void dueMoment(uint64_t& field) {
    accepted(
        field, [](uint64_t read) { return read <= kLastMoment || read == kNever; }, "a moment is out of range");
  }
  /** Bytes of a queue that holds up to `most`. */
  template <typename Queue>
  void queue(Queue& bytes, size_t most) {
    auto count = static_cast<uint32_t>(bytes.size());
    within(count, uint32_t{0}, static_cast<uint32_t>(most));
    if (!reads()) {
      for (uint8_t byte : bytes) value(byte);
      return;
    }
    if (failed() || bytes_ - at_ < count) return check(false, "the state ends inside of a queue");
    bytes.assign(from_ + at_, from_ + at_ + count);
    at_ += count;
  }
  /** Holds what was read to a rule over several fields. */
  void check(bool holds, const char* why) {
    if (!holds && why_ == nullptr) why_ = why;
  }

 private:
  template <typename T, typename Rule>
  void accepted(T& field, Rule rule, const char* why) {
    T read = field;
    raw(&read, sizeof(T));
    if (failed() || !reads()) return;
    check(rule(read), why);
    if (!failed()) field = read;
  }
  void raw(void* field, size_t bytes) {
    if (failed()) return;
    if (!reads()) {
      const auto* from = static_cast<const uint8_t*>(field);
      to_->insert(to_->end(), from, from + bytes);
      return;
    }
    if (bytes_ - at_ < bytes) return check(false, "the state ends here");
    std::memcpy(field, from_ + at_, bytes);
    at_ += bytes;
  }

  std::vector<uint8_t>* to_ = nullptr;
  const uint8_t* from_ = nullptr;
  size_t bytes_ = 0, at_ = 0;
  const char* why_ = nullptr;
  const char* section_ = "";
};

}  // namespace vtkit::state
