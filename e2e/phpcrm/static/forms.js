// Copies the token from its cookie into every form, as many old applications do.
for (const field of document.querySelectorAll('input[name=csrf]')) {
  field.value = (document.cookie.match(/(?:^|; )csrftoken=([^;]*)/) || [])[1] || '';
}
document.cookie = 'sidebar=open; path=/';
