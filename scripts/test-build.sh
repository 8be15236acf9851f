# How `make check` and `make test` build, for both to read: the suite as it ships, the checks of a debug build left in,
# and nothing that only costs time, as what a debugger needs and optimised C (decision 0079).
test_build=(
    --scratch-path .build/test -c release --build-tests --explicit-target-dependency-import-check error
    -Xswiftc -enable-testing -Xswiftc -assert-config -Xswiftc Debug -debug-info-format none -Xcc -O0
)
