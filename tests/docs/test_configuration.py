from tests.docs.configuration import PAGE, rendered


def test_the_page_of_settings_says_what_the_code_reads() -> None:
    assert PAGE.read_text() == rendered(), "run: python -m tests.docs.configuration"
