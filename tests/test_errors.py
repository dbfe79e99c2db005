"""The family of exceptions."""

import pytest

from domainvi import errors


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_caught_by_the_base_and_documented(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, errors.DomainVIError)
    assert len(error.__doc__) > 30


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.InputError, ValueError),
        (errors.GeneMatchError, errors.InputError),
        (errors.ModelFileError, OSError),
        (errors.NotTrainedError, RuntimeError),
        (errors.TrainingError, RuntimeError),
        (errors.ForkedProcessError, RuntimeError),
    ],
)
def test_errors_are_caught_by_the_builtin_a_user_would_expect(
    error: type[Exception], builtin: type[Exception]
) -> None:
    msg = "the reason"
    with pytest.raises(builtin, match=msg):
        raise error(msg)


def test_a_model_file_error_is_not_an_input_error() -> None:
    assert not issubclass(errors.ModelFileError, errors.InputError)
