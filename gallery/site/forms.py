"""The forms of the site and of the admin."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

from gallery.curation import library
from gallery.errors import Refusal
from gallery.models import Image

PICTURE_TYPES = ".jpg,.jpeg,.png,.webp,.gif,.bmp,.tif,.tiff,.avif,.heic,.heif,image/*"


class UploadForm(forms.Form):
    """The upload of the front page."""

    image = forms.FileField(
        label="Picture",
        allow_empty_file=True,  # `uploads.check` refuses an empty file, with its code
        widget=forms.FileInput(attrs={"accept": PICTURE_TYPES}),
    )


class NewImageForm(forms.ModelForm[Image]):
    """A new gallery picture in the admin."""

    file = forms.FileField(label="Picture", widget=forms.FileInput(attrs={"accept": PICTURE_TYPES}))

    class Meta:
        model = Image
        fields = ["file", "title", "label", "is_hidden"]

    def clean_file(self) -> "UploadedFile[Any]":
        """Return the uploaded file once its header is accepted."""
        file: UploadedFile[Any] = self.cleaned_data["file"]
        try:
            library.check_new(file)
        except (Refusal, library.AlreadyThere) as error:
            raise ValidationError(str(error)) from error
        return file
