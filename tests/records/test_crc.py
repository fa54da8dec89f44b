import subprocess
import sys

from kafka.records.crc import crc32c


def test_check_value():
    # The check value of CRC-32C in the catalogue of parametrised CRC algorithms.
    assert crc32c(b"123456789") == 0xE3069283


def test_any_buffer_and_a_running_value():
    assert crc32c(memoryview(bytearray(b"x123456789x"))[5:10], crc32c(b"1234")) == 0xE3069283


def test_does_not_import_the_package_but_agrees_with_it():
    program = (
        "import sys; from kafka.records.crc import crc32c; assert 'crc32c' not in sys.modules;"
        "import crc32c as package; assert package.crc32c(b'abc') == crc32c(b'abc')"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
