// A failed system call: the errno, the operation that failed and the path it was about.
#pragma once

#include <cerrno>
#include <exception>
#include <string>
#include <utility>

namespace vtkit::os {

struct SystemError : std::exception {
  SystemError(int error, std::string operation, std::string path = {})
      : error(error), operation(std::move(operation)), path(std::move(path)) {}
  const char* what() const noexcept override { return operation.c_str(); }

  int error;              // positive errno
  std::string operation;  // "KVM_CREATE_VM", "open"
  std::string path;       // empty where the call names no file
};

}  // namespace vtkit::os
