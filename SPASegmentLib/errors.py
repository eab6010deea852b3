"""The one error hierarchy. Messages are single sentences for the person who reads them."""


class SPASegmentError(Exception):
    """Root of every error this project raises on purpose; its text says what is wrong and what to do."""


class InputError(SPASegmentError):
    """An image, seed or file that cannot be segmented as given."""


class SeedError(InputError):
    """A seed outside the volume, or a slice without the seed."""


class DatasetError(SPASegmentError):
    """A data set whose layout is not the one its loader documents."""


class CheckpointError(SPASegmentError):
    """A checkpoint that is damaged, of another version, or does not fit the network."""


class ConsentError(SPASegmentError):
    """A download the user has not agreed to."""


class ProfileError(SPASegmentError):
    """A preference profile that is damaged, of another model, or not to be had."""


class StepError(SPASegmentError):
    """A step the interaction does not allow now, such as a pick before a seed."""


class Cancelled(SPASegmentError):
    """The user cancelled the computation; nothing was changed."""


class ServerError(SPASegmentError):
    """A server that cannot be reached, refuses the request, or answers what cannot be read."""
